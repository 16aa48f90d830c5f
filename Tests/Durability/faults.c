/* Preloaded into the gateway by run.py: makes file operations below one directory fail, and records them.
 *
 * FAULTS_ROOT      operations on paths below this directory are counted, recorded and made to fail; no others
 * FAULTS_CONTROL   a file of one line, read again whenever its mtime or size changes:
 *                    off
 *                    after N KINDS ERRNO COUNT     the N-th operation from now on of one of KINDS, and those that
 *                                                  follow it, COUNT in all (0: for ever), fail with ERRNO
 *                  KINDS is a list such as write,sync,open,truncate,rename,link,unlink,mkdir or all
 * FAULTS_COUNT     a file into which the number of counted operations since the last change of the control is written
 * FAULTS_RECORD    a file to which every operation is appended with its data, for replay.py; also what is sent on sockets
 * FAULTS_CLOCK     a file with a number of seconds that is added to the wall clock (not to the monotonic one)
 *
 * SQLite calls these functions by their names in libc, hence nothing else is needed. What is mapped into memory (the
 * index of the write-ahead log) is not seen, and need not be: SQLite makes it anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAXIMUM_DESCRIPTORS 4096

enum kind { WRITE = 1, SYNC = 2, OPEN = 4, TRUNCATE = 8, RENAME = 16, LINK = 32, UNLINK = 64, MKDIR = 128 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *control, *count_path, *record_path;
static size_t root_length;
static int record_descriptor = -1, count_descriptor = -1;
static char *paths[MAXIMUM_DESCRIPTORS];
static struct timespec control_time;
static off_t control_size;
static long counted, failing_from, failing_count, failed;
static int failing_kinds, failing_errno;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static long raw_write(int descriptor, const void *bytes, size_t count) {
    return syscall(SYS_write, descriptor, bytes, count);
}

__attribute__((constructor)) static void begin(void) {
    char resolved[PATH_MAX];
    root = getenv("FAULTS_ROOT");
    if (root && realpath(root, resolved)) root = strdup(resolved);
    root_length = root ? strlen(root) : 0;
    control = getenv("FAULTS_CONTROL");
    count_path = getenv("FAULTS_COUNT");
    record_path = getenv("FAULTS_RECORD");
    if (record_path) record_descriptor = syscall(SYS_openat, AT_FDCWD, record_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (count_path) count_descriptor = syscall(SYS_openat, AT_FDCWD, count_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) {
    return root && path && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static const char *path_of(int descriptor) {
    return descriptor >= 0 && descriptor < MAXIMUM_DESCRIPTORS ? paths[descriptor] : NULL;
}

static int kinds_of(const char *text) {
    static const char *names[] = {"write", "sync", "open", "truncate", "rename", "link", "unlink", "mkdir"};
    int kinds = 0;
    for (int i = 0; i < 8; i++)
        if (strstr(text, "all") || strstr(text, names[i])) kinds |= 1 << i;
    if (strstr(text, "unlink") && !strstr(text, "all") && !strstr(text, ",link")) kinds &= ~LINK;
    return kinds;
}

/* Reads the control file if it changed. */
static void look(void) {
    struct stat status;
    if (!control || stat(control, &status) != 0) return;
    if (status.st_mtim.tv_sec == control_time.tv_sec && status.st_mtim.tv_nsec == control_time.tv_nsec && status.st_size == control_size) return;
    control_time = status.st_mtim;
    control_size = status.st_size;
    char line[256] = "", kinds[128] = "", name[32] = "";
    int descriptor = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (descriptor < 0) return;
    long got = syscall(SYS_read, descriptor, line, sizeof line - 1);
    syscall(SYS_close, descriptor);
    if (got < 0) return;
    counted = failed = failing_from = failing_count = 0;
    failing_kinds = 0;
    if (sscanf(line, "after %ld %127s %31s %ld", &failing_from, kinds, name, &failing_count) == 4) {
        failing_kinds = kinds_of(kinds);
        failing_errno = strcmp(name, "ENOSPC") == 0 ? ENOSPC : strcmp(name, "EROFS") == 0 ? EROFS : strcmp(name, "EMFILE") == 0 ? EMFILE : EIO;
    }
}

/* Whether an operation of this kind fails now. */
static int is_due(enum kind kind) {
    if (!(failing_kinds & kind)) return 0;
    if (--failing_from > 0) return 0;
    return failing_count == 0 || failed < failing_count;
}

/* Counts an operation, and whether it fails, with errno set; holds the mutex. */
static int fails(enum kind kind) {
    look();
    counted++;
    int due = is_due(kind);
    failed += due;
    if (count_descriptor >= 0) {
        char text[64];
        int length = snprintf(text, sizeof text, "%ld %ld\n", counted, failed);
        syscall(SYS_pwrite64, count_descriptor, text, length, 0L);
    }
    if (due) errno = failing_errno;
    return due;
}

/* One record: a line of JSON-free words, then the octets. Written in one call each, under the mutex. */
static void note(const char *operation, const char *path, const char *other, long offset, const void *bytes, size_t count) {
    if (record_descriptor < 0) return;
    char line[2 * PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\t%zu\n", operation, path ? path : "", other ? other : "", offset, count);
    raw_write(record_descriptor, line, length);
    if (count) raw_write(record_descriptor, bytes, count);
}

static void remember(int descriptor, const char *path) {
    if (descriptor < 0 || descriptor >= MAXIMUM_DESCRIPTORS) return;
    free(paths[descriptor]);
    paths[descriptor] = path ? strdup(path) : NULL;
}

static void absolute(int directory, const char *path, char *result) {
    if (path[0] == '/') {
        snprintf(result, PATH_MAX, "%s", path);
    } else if (directory == AT_FDCWD) {
        char *here = getcwd(NULL, 0);
        snprintf(result, PATH_MAX, "%s/%s", here ? here : "", path);
        free(here);
    } else {
        const char *base = path_of(directory);
        snprintf(result, PATH_MAX, "%s/%s", base ? base : "?", path);
    }
}

static int opened(int directory, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    absolute(directory, path, name);
    if (!is_ours(name)) {
        int descriptor = syscall(SYS_openat, directory, path, flags, mode);
        pthread_mutex_lock(&mutex);
        if (descriptor >= 0) remember(descriptor, NULL);
        pthread_mutex_unlock(&mutex);
        return descriptor;
    }
    pthread_mutex_lock(&mutex);
    /* A read-only file system lets itself be read. */
    int reads = failing_errno == EROFS && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT);
    if (!reads && fails(OPEN)) {
        pthread_mutex_unlock(&mutex);
        return -1;
    }
    int is_new = (flags & O_CREAT) && access(name, F_OK) != 0;
    int descriptor = syscall(SYS_openat, directory, path, flags, mode);
    int error = errno;
    if (descriptor >= 0) {
        remember(descriptor, name);
        if (is_new) note("create", name, NULL, 0, NULL, 0);
        if (flags & O_TRUNC) note("truncate", name, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    errno = error;
    return descriptor;
}

#define OPEN_ARGUMENTS(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { OPEN_ARGUMENTS(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_ARGUMENTS(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { OPEN_ARGUMENTS(flags) return opened(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { OPEN_ARGUMENTS(flags) return opened(directory, path, flags, mode); }

int close(int descriptor) {
    pthread_mutex_lock(&mutex);
    remember(descriptor, NULL);
    long code = syscall(SYS_close, descriptor);
    pthread_mutex_unlock(&mutex);
    return code;
}

static ssize_t written(int descriptor, const void *bytes, size_t count, off_t offset, int has_offset) {
    const char *path = path_of(descriptor);
    if (!path) return has_offset ? syscall(SYS_pwrite64, descriptor, bytes, count, offset) : raw_write(descriptor, bytes, count);
    pthread_mutex_lock(&mutex);
    if (fails(WRITE)) {
        int error = errno;
        /* A full disk takes what still fits: half, so that torn writes are met, too. */
        if (error == ENOSPC && count > 1 && has_offset) syscall(SYS_pwrite64, descriptor, bytes, count / 2, offset);
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    off_t at = has_offset ? offset : lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = has_offset ? syscall(SYS_pwrite64, descriptor, bytes, count, offset) : raw_write(descriptor, bytes, count);
    int error = errno;
    if (done > 0) note("write", path, NULL, at, bytes, done);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

static void sent(const void *bytes, size_t count) {
    pthread_mutex_lock(&mutex);
    note("send", NULL, NULL, 0, bytes, count);
    pthread_mutex_unlock(&mutex);
}

static int is_socket(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (record_descriptor >= 0 && !path_of(descriptor) && is_socket(descriptor)) sent(bytes, count);
    return written(descriptor, bytes, count, 0, 0);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) { return written(descriptor, bytes, count, offset, 1); }
ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) { return written(descriptor, bytes, count, offset, 1); }

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    const char *path = path_of(descriptor);
    if (!path) {
        if (record_descriptor >= 0 && is_socket(descriptor))
            for (int i = 0; i < count; i++) sent(parts[i].iov_base, parts[i].iov_len);
        return syscall(SYS_writev, descriptor, parts, count);
    }
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = written(descriptor, parts[i].iov_base, parts[i].iov_len, 0, 0);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}

ssize_t send(int descriptor, const void *bytes, size_t count, int flags) {
    REAL(send);
    if (record_descriptor >= 0) sent(bytes, count);
    return real(descriptor, bytes, count, flags);
}

static int synced(int descriptor, int number) {
    const char *path = path_of(descriptor);
    if (!path) return syscall(number, descriptor);
    pthread_mutex_lock(&mutex);
    if (fails(SYNC)) {
        pthread_mutex_unlock(&mutex);
        return -1;
    }
    /* The record says what is safe from here on; nothing of this file is written between the call and the record. */
    int code = syscall(number, descriptor);
    int error = errno;
    if (code == 0) note("sync", path, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return code;
}

int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }

static int truncated(int descriptor, off_t length) {
    const char *path = path_of(descriptor);
    if (!path) return syscall(SYS_ftruncate, descriptor, length);
    pthread_mutex_lock(&mutex);
    if (fails(TRUNCATE)) {
        pthread_mutex_unlock(&mutex);
        return -1;
    }
    int code = syscall(SYS_ftruncate, descriptor, length);
    int error = errno;
    if (code == 0) note("truncate", path, NULL, length, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return code;
}

int ftruncate(int descriptor, off_t length) { return truncated(descriptor, length); }
int ftruncate64(int descriptor, off64_t length) { return truncated(descriptor, length); }

/* Operations on names; the body does the call. */
#define NAMED(kind, operation, first, second, call) \
    char from[PATH_MAX], to[PATH_MAX] = ""; \
    absolute(AT_FDCWD, first, from); \
    const char *other = second; \
    if (other) absolute(AT_FDCWD, other, to); \
    if (!is_ours(from) && !is_ours(to)) return call; \
    pthread_mutex_lock(&mutex); \
    if (fails(kind)) { pthread_mutex_unlock(&mutex); return -1; } \
    int code = call, error = errno; \
    if (code == 0) note(operation, from, to, 0, NULL, 0); \
    pthread_mutex_unlock(&mutex); \
    errno = error; \
    return code

static const char *const none = NULL;

int rename(const char *old, const char *new) { NAMED(RENAME, "rename", old, new, syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0)); }
int link(const char *old, const char *new) { NAMED(LINK, "link", old, new, syscall(SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0)); }
int unlink(const char *path) { NAMED(UNLINK, "unlink", path, none, syscall(SYS_unlinkat, AT_FDCWD, path, 0)); }
int mkdir(const char *path, mode_t mode) { NAMED(MKDIR, "mkdir", path, none, syscall(SYS_mkdirat, AT_FDCWD, path, mode)); }

/* The wall clock, moved by what a file says. */
static long shift(void) {
    static const char *path;
    static int is_known;
    if (!is_known) {
        path = getenv("FAULTS_CLOCK");
        is_known = 1;
    }
    if (!path) return 0;
    char text[32] = "";
    int descriptor = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (descriptor < 0) return 0;
    long got = syscall(SYS_read, descriptor, text, sizeof text - 1);
    syscall(SYS_close, descriptor);
    return got > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int code = syscall(SYS_clock_gettime, clock, now);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int code = real(now, zone);
    if (code == 0) now->tv_sec += shift();
    return code;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
