"""The formats that core itself reads and writes, each behind the contract like any plugin's."""
