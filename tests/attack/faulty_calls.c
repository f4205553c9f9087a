/* Preloaded: the n-th call of one kind on something below a folder fails, or kills the process.

   FAULT_CALL   open, create (open for writing), opendir, read, write, rename, mkdir, unlink, rmdir, stat, fsync, truncate
   FAULT_AT     which of these calls; FAULT_ON=1: and all after it
   FAULT        an errno, or 0: SIGKILL
   FAULT_BELOW  the folder, absolute
   FAULT_LOG    gets a line when it happens */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static int faulty(const char *call, const char *path) {
    const char *kind = getenv("FAULT_CALL"), *below = getenv("FAULT_BELOW"), *log = getenv("FAULT_LOG");
    if (!kind || !below || !log || strcmp(kind, call) || strncmp(path, below, strlen(below))) return 0;
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST), at = atol(getenv("FAULT_AT"));
    if (number != at && !(number > at && getenv("FAULT_ON"))) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dprintf(file, "%s %ld %s\n", call, number, path);
    syscall(SYS_close, file);
    int error = atoi(getenv("FAULT"));
    if (!error) kill(getpid(), SIGKILL);
    errno = error;
    return 1;
}

static int faulty_file(const char *call, int file) {
    if (!getenv("FAULT_CALL")) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return faulty(call, path);
}

static int faulty_at(const char *call, int folder, const char *path) {
    return path[0] == '/' || folder == AT_FDCWD ? faulty(call, path) : faulty_file(call, folder);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define KIND(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT) ? "create" : (flags) & O_DIRECTORY ? "opendir" : "open")
#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

#define OPEN(name) int name(const char *path, int flags, ...) { MODE(flags) return faulty(KIND(flags), path) ? -1 : REAL(name)(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { MODE(flags) return faulty_at(KIND(flags), folder, path) ? -1 : REAL(name)(folder, path, flags, mode); }
#define STAT(name, kind) int name(const char *path, struct kind *found) { return faulty("stat", path) ? -1 : REAL(name)(path, found); }
#define STATAT(name, kind) int name(int folder, const char *path, struct kind *found, int flags) { return faulty_at("stat", folder, path) ? -1 : REAL(name)(folder, path, found, flags); }
#define FSTAT(name, kind) int name(int file, struct kind *found) { return faulty_file("stat", file) ? -1 : REAL(name)(file, found); }
#define PREAD(name, offset) ssize_t name(int file, void *data, size_t size, offset at) { return faulty_file("read", file) ? -1 : REAL(name)(file, data, size, at); }
#define PWRITE(name, offset) ssize_t name(int file, const void *data, size_t size, offset at) { return faulty_file("write", file) ? -1 : REAL(name)(file, data, size, at); }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
STATAT(fstatat, stat)
STATAT(fstatat64, stat64)
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)
PREAD(pread, off_t)
PREAD(pread64, off64_t)
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

DIR *opendir(const char *path) { return faulty("opendir", path) ? NULL : REAL(opendir)(path); }
DIR *fdopendir(int file) { return faulty_file("opendir", file) ? NULL : REAL(fdopendir)(file); }
ssize_t read(int file, void *data, size_t size) { return faulty_file("read", file) ? -1 : REAL(read)(file, data, size); }
ssize_t write(int file, const void *data, size_t size) { return faulty_file("write", file) ? -1 : REAL(write)(file, data, size); }
int rename(const char *from, const char *to) { return faulty("rename", to) ? -1 : REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { return faulty_at("rename", b, to) ? -1 : REAL(renameat)(a, from, b, to); }
int mkdir(const char *path, mode_t mode) { return faulty("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return faulty_at("mkdir", folder, path) ? -1 : REAL(mkdirat)(folder, path, mode); }
int unlink(const char *path) { return faulty("unlink", path) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) { return faulty_at(flags ? "rmdir" : "unlink", folder, path) ? -1 : REAL(unlinkat)(folder, path, flags); }
int rmdir(const char *path) { return faulty("rmdir", path) ? -1 : REAL(rmdir)(path); }
int fsync(int file) { return faulty_file("fsync", file) ? -1 : REAL(fsync)(file); }
int ftruncate(int file, off_t size) { return faulty_file("truncate", file) ? -1 : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return faulty_file("truncate", file) ? -1 : REAL(ftruncate64)(file, size); }
