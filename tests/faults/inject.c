// Preloaded: counts the file operations of this process below one folder, and fails or kills at one of them.
//
//     cc -shared -fPIC -O1 -o inject.so inject.c -ldl
//
// ostinato_faults(folder, n, code, for_good, log): operation n below `folder` fails with errno `code` (for_good: and every
// later one, too); with code -1 the process kills itself before it, with code 0 nothing fails. Each operation is written
// to the descriptor `log` as a line (-1: none). close() closes all the same, as Linux does.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char prefix[4096];
static long wanted, count;
static int code, for_good, journal = -1;

void ostinato_faults(const char *folder, long n, int errno_, int forever, int log) {
  prefix[0] = 0;
  wanted = n, count = 0, code = errno_, for_good = forever, journal = log;
  snprintf(prefix, sizeof prefix, "%s", folder);
}

long ostinato_faults_count(void) { return count; }

// Whether an operation on an absolute path is to fail; errno is then set.
static int fails(const char *name, const char *path) {
  const size_t length = strlen(prefix);
  if (!length || strncmp(path, prefix, length) || (path[length] && path[length] != '/')) return 0;
  const long at = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  if (journal >= 0) {
    char line[4400];
    const int size = snprintf(line, sizeof line, "%ld %s %s\n", at, name, path + length);
    syscall(SYS_write, journal, line, (size_t)size);
  }
  if (!code || !(at == wanted || (for_good && at > wanted))) return 0;
  if (code < 0) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  errno = code;
  return 1;
}

static int fails_fd(const char *name, int fd) {
  if (!prefix[0]) return 0;
  char link[64], path[4200];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = syscall(SYS_readlink, link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return fails(name, path);
}

static int fails_at(const char *name, int folder, const char *given) {
  if (!prefix[0] || !given) return 0;
  char path[8400];
  if (given[0] == '/') {
    snprintf(path, sizeof path, "%s", given);
  } else {
    char link[64];
    if (folder == AT_FDCWD)
      snprintf(link, sizeof link, "/proc/self/cwd");
    else
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t size = syscall(SYS_readlink, link, path, 4096);
    if (size <= 0) return 0;
    snprintf(path + size, sizeof path - size, "%s%s", given[0] ? "/" : "", given);
  }
  return fails(name, path);
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define PATH(name, result, parameters, arguments, folder, path) \
  result name parameters { \
    REAL(name); \
    return fails_at(#name, folder, path) ? -1 : real arguments; \
  }
#define HANDLE(name, result, parameters, arguments) \
  result name parameters { \
    REAL(name); \
    return fails_fd(#name, fd) ? -1 : real arguments; \
  }
#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list list; \
    va_start(list, flags); \
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list); \
    return fails_at("open", AT_FDCWD, path) ? -1 : real(path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(name); \
    va_list list; \
    va_start(list, flags); \
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list); \
    return fails_at("open", folder, path) ? -1 : real(folder, path, flags, mode); \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
HANDLE(write, ssize_t, (int fd, const void *data, size_t size), (fd, data, size))
HANDLE(writev, ssize_t, (int fd, const struct iovec *data, int parts), (fd, data, parts))
HANDLE(pwrite64, ssize_t, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
HANDLE(read, ssize_t, (int fd, void *data, size_t size), (fd, data, size))
HANDLE(pread64, ssize_t, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
HANDLE(fsync, int, (int fd), (fd))
HANDLE(fdatasync, int, (int fd), (fd))
HANDLE(ftruncate, int, (int fd, off_t size), (fd, size))
HANDLE(ftruncate64, int, (int fd, off64_t size), (fd, size))
PATH(rename, int, (const char *from, const char *to), (from, to), AT_FDCWD, to)
PATH(renameat, int, (int a, const char *from, int b, const char *to), (a, from, b, to), b, to)
PATH(renameat2, int, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), b, to)
PATH(link, int, (const char *from, const char *to), (from, to), AT_FDCWD, to)
PATH(linkat, int, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), b, to)
PATH(symlink, int, (const char *from, const char *to), (from, to), AT_FDCWD, to)
PATH(unlink, int, (const char *path), (path), AT_FDCWD, path)
PATH(unlinkat, int, (int folder, const char *path, int flags), (folder, path, flags), folder, path)
PATH(rmdir, int, (const char *path), (path), AT_FDCWD, path)
PATH(mkdir, int, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
PATH(mkdirat, int, (int folder, const char *path, mode_t mode), (folder, path, mode), folder, path)
PATH(truncate, int, (const char *path, off_t size), (path, size), AT_FDCWD, path)
PATH(stat, int, (const char *path, struct stat *out), (path, out), AT_FDCWD, path)
PATH(lstat, int, (const char *path, struct stat *out), (path, out), AT_FDCWD, path)
PATH(stat64, int, (const char *path, struct stat64 *out), (path, out), AT_FDCWD, path)
PATH(lstat64, int, (const char *path, struct stat64 *out), (path, out), AT_FDCWD, path)
PATH(fstatat, int, (int folder, const char *path, struct stat *out, int flags), (folder, path, out, flags), folder, path)
PATH(fstatat64, int, (int folder, const char *path, struct stat64 *out, int flags), (folder, path, out, flags), folder,
     path)
PATH(statx, int, (int folder, const char *path, int flags, unsigned mask, struct statx *out),
     (folder, path, flags, mask, out), folder, path)

int close(int fd) {
  REAL(close);
  const int failed = fails_fd("close", fd), error = errno;
  const int result = real(fd);
  if (failed) errno = error;
  return failed ? -1 : result;
}

DIR *opendir(const char *path) {
  REAL(opendir);
  return fails_at("opendir", AT_FDCWD, path) ? NULL : real(path);
}

DIR *fdopendir(int fd) {
  REAL(fdopendir);
  return fails_fd("opendir", fd) ? NULL : real(fd);
}
