"""Ways to break the example plugin, by the check of the compliance kit that has to notice."""

from __future__ import annotations

READ = "voxels[box.slices_in(self.info.box)].astype(self.info.dtype)[np.newaxis]"
MAGIC = 'head.startswith(b"VOX1")'
PAUSE = "__import__('time').sleep(1e-4)"
REFUSAL = 'raise wk.BrokenSource(f"{path} is no sound .vox file", why=str(error)) from error'
SIZE = "voxels.nbytes + 16 != path.stat().st_size"
OPTIONS = "**wk.parse_options(source, options)"

Change = tuple[str, str]


def reading(code: str, **globals: str) -> list[Change]:
    """Other code in `read`, and names that live in the module."""
    lines = "".join(f"{name} = {value}\n" for name, value in globals.items())
    return [(f"return {READ}", code), ("FORMATS = ", f"{lines}FORMATS = ")]


def streaming(boxes: str = "self.info.box.tiles((80, 90, 30))", pair: str = "box, self.read(box)") -> list[Change]:
    """A stream in addition to `read`."""
    return having(f"def stream(self):\n        for box in {boxes}:\n            yield {pair}")


def having(member: str) -> list[Change]:
    """One more member of the Source."""
    return reading(f"return {READ}\n\n    {member}")


def opening(code: str) -> list[Change]:
    """More code at the end of opening."""
    return [("    return VoxSource", f"    {code}\n    return VoxSource")]


def describing(more: str) -> list[Change]:
    """More arguments for VolumeInfo."""
    return [('newbyteorder("=")', f'newbyteorder("="), {more}')]


def asked(old: str, new: str) -> list[Change]:
    """Other code in a reader on which the example plugin itself gives a second opinion."""
    return [(old, new), ("@dataclass", 'SECOND_OPINIONS = {next(iter(FORMATS)): "vo" + "x"}\n\n\n@dataclass')]


def layered(more: str) -> list[Change]:
    """More arguments for Layer."""
    return [("source, options))}", f"source, options))}}, {more}")]


BROKEN: dict[str, dict[str, list[Change]]] = {
    "detection": {
        "claims nothing": [(MAGIC, "False")],
        "gives no reason": [('"it begins with VOX1"', '""')],
        "raises": [(MAGIC, "head.nothing")],
        "is sure by a number": [("wk.Confidence.EXACT", "7")],
    },
    "junk": {
        "claims everything": [(MAGIC, "True")],
        "cannot bear a short head": [(MAGIC, "head[200]")],
        "claims folders": [(MAGIC, "not head")],
        "raises an error of its library": [("except Exception", "except KeyError")],
        "makes a volume of anything": [
            ("np.memmap(path, *layout)", "np.zeros((3, 3, 3)).view(np.memmap)"),
            (SIZE, "False"),
            ("np.memmap(self.path, *self.layout)", "np.zeros((3, 3, 3))"),
        ],
        "returns nothing": [
            ("-> list[wk.Layer] | None:", "-> None:\n    if path.stat().st_size < 9999:\n        return")
        ],
    },
    "imports": {
        "imports a library of core": [("import numpy as np\n", "import numpy as np\nimport scipy\n")],
        "imports its own library to detect": [("    return wk.Match", "    import hypothesis\n    return wk.Match")],
    },
    "unknown option": {
        "ignores options": [(f", {OPTIONS}", "")],
        "raises TypeError": [(OPTIONS, "**options")],
        "takes kwargs": [("zyx: bool = False)", "zyx: bool = False, **kwargs: str)")],
        "does not list the known": [(OPTIONS, "**wk.parse_options(lambda: 0, {k: '' for k in options if k != 'zyx'})")],
    },
    "header-only open": {
        "loads all": opening("voxels = np.array(voxels)"),
        "reads all": opening("with path.open('rb') as file: [None for block in iter(lambda: file.read(9999), b'')]"),
    },
    "info": {
        "numpy's numbers": [("voxels.shape, ", "tuple(np.array(voxels.shape)), ")],
        "an empty shape": [("voxels.shape, ", "(0, 3, 3), ")],
        "big-endian": [('newbyteorder("=")', 'newbyteorder(">")')],
        "a type for a dtype": [('voxels.dtype.newbyteorder("=")', "np.uint16")],
        "a dtype that WKW lacks": [('voxels.dtype.newbyteorder("=")', 'np.dtype("c8")')],
        "no channel": describing("channels=0"),
        "too many channels": describing("channels=200"),
        "a chunk of two axes": describing("chunk_shape=(3, 3)"),
        "a negative offset": describing("offset=(0, 0, -1)"),
        "notes as a text": describing("notes='a text'"),
        "a flat affine": describing("affine=wk.Affine((1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0), 'nm', 'header')"),
        "an affine of infinity": describing(
            "affine=wk.Affine((1, 0, 0), (0, 1, 0), (0, 0, 1), (float('inf'), 0, 0), 'nm', 'header')"
        ),
        "an affine in feet": describing("affine=wk.Affine((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0), 'ft', 'header')"),
        "an affine from nowhere": describing("affine=wk.Affine((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0))"),
        "turned, but not how": describing("turned=wk.Turn('', 'say -o turn=no')"),
        "a voxel size from nowhere": describing("voxel_size=wk.VoxelSize((1, 1, 1))"),
        "a voxel size of nothing": describing("voxel_size=wk.VoxelSize((None, None, None), 'nm', 'header')"),
        "another each time": [
            ("wk.VolumeInfo(v", "type('Moody', (wk.VolumeInfo,), {'__eq__': lambda a, b: 0 == 1})(v")
        ],
        "a mag of 3": [("wk.Mag(1, 1, 1)", "wk.Mag(3, 1, 1)")],
        "a tuple for a mag": [("wk.Mag(1, 1, 1)", "(1, 1, 1)")],
        "no mags": [("{wk.Mag(1, 1, 1): source(path, **wk.parse_options(source, options))}", "{}")],
        "a mag of another extent": [("{wk.Mag(1", "{wk.Mag(2, 2, 2): source(path), wk.Mag(1")],
        "no category": layered("category='colour'"),
        "no colour": layered("color=(0, 0, 256)"),
        "an empty name": layered("name=' '"),
        "two layers of a name": [("[wk.Layer({", "2 * [wk.Layer(name='a', mags={")],
    },
    "boxes": {
        "ignore where the box is": [("[box.slices_in(self.info.box)]", "[tuple(map(slice, box.shape))]")],
        "ignore the box": [("[box.slices_in(self.info.box)]", "[:]")],
        "are big-endian": reading(f"return {READ}.astype('>u2')"),
        "have no channel axis": [("[np.newaxis]", "")],
        "are lists": reading(f"return {READ}.tolist()"),
        "hold other values": reading(f"return {READ} + np.uint16(1)"),
        "share a buffer": reading(
            f"data = BUFFER[: box.volume].reshape(1, *box.shape)\n        data[:] = {READ}\n        return data",
            BUFFER="np.zeros(80 * 90 * 70, 'u2')",
        ),
        "depend on what was read": reading(f"return {READ} + np.uint16(len(READ.append(0) or READ) > 9)", READ="[]"),
    },
    "stream": {
        "forgets the end": streaming(boxes="[*self.info.box.tiles((80, 90, 30))][:-1]"),
        "repeats itself": streaming(boxes="2 * [*self.info.box.tiles((80, 90, 30))]"),
        "tells other voxels": streaming(pair="box, self.read(box) + np.uint16(1)"),
        "leaves the volume": streaming(pair="box.shifted((0, 0, 1)), self.read(box)"),
    },
    "occupied": {
        "denies everything": having("def occupied(self, box):\n        return False"),
        "denies a corner": having("def occupied(self, box):\n        return box.start != (0, 0, 0)"),
        "answers by a number": having("def occupied(self, box):\n        return 1"),
    },
    "read cost": {
        "is less than what is returned": having("read_cost = 0.5"),
        "is a text": having("read_cost = '2'"),
        "is infinite": having("read_cost = float('inf')"),
    },
    "second opinion": {
        "another shape": asked("voxels.shape, ", "voxels.shape[::-1], "),
        "another dtype": asked('voxels.dtype.newbyteorder("=")', 'np.dtype("u4")'),
        "another voxel size": asked('"=")), layout)', '"="), 1, wk.VoxelSize((1, 1, 1), "nm", "x")), layout)'),
        "other voxels": asked("[np.newaxis]", "[np.newaxis] + np.uint16(1)"),
    },
    "pickle": {
        "holds a function": [("), layout)", "), lambda: layout)")],
        "holds voxels": [("), layout)", "), layout + (voxels.tobytes()[:5000],))")],
        "equals nothing": [("dataclass(frozen=True)", "dataclass(frozen=True, eq=False)")],
        "cannot be hashed": [("dataclass(frozen=True)", "dataclass")],
        "differs when opened again": [("), layout)", "), layout + (np.random.rand(),))")],
    },
    "threads": {
        "remember one box for all": reading(
            f"NOW[:] = [box]\n        {PAUSE}\n        return {READ.replace('[box.', '[NOW[0].')}", NOW="[]"
        ),
        "want to be alone": reading(
            f"BUSY.append(1)\n        assert len(BUSY) == 1\n        {PAUSE}\n        BUSY.clear()\n"
            f"        return {READ}",
            BUSY="[]",
        ),
    },
    "loky": {
        "lacks what opening left in the module": opening("SEEN.add(path)")
        + reading(f"assert self.path in SEEN\n        return {READ}", SEEN="set()"),
        "reads otherwise": reading(
            f"return {READ} + np.uint16('Loky' in __import__('multiprocessing').current_process().name)"
        ),
    },
    "no open handles": {
        "keeps a file": reading(f"KEPT.append(self.path.open('rb'))\n        return {READ}", KEPT="[]"),
        "keeps a memmap": reading(f"KEPT.append(voxels.base)\n        return {READ}", KEPT="[]"),
        "keeps pipes": reading(f"KEPT.extend(__import__('os').pipe())\n        return {READ}", KEPT="[]"),
        "forgets to close": reading(f"self.path.open('rb').read(1)\n        return {READ}"),
    },
    "untouched": {
        "writes an index": opening("path.with_suffix('.idx').touch()"),
        "touches the file": opening("path.touch()"),
    },
    "truncated": {
        "fills up": [
            (REFUSAL, "voxels = np.zeros((9, 9, 9)).view(np.memmap)"),
            (SIZE, "False"),
            ("np.memmap(self.path, *self.layout)", "np.zeros((9, 9, 9))"),
        ]
    },
    "damaged header": {"lets numpy's errors out": [("except Exception", "except EOFError")]},
    "convert twice": {"rolls dice": reading(f"return {READ} ^ np.random.randint(0, 999, box.shape, 'u2')")},
}
