/* Faults of the machine, put between the server and libc by LD_PRELOAD.
 *
 * SHIM_DIR names a directory; only files whose name begins with SHIM_FILE ("memory.db", so its -wal too) are meant.
 *
 * Power loss. Before a write changes such a file, what it is about to change goes into SHIM_DIR/<name>.undo: where, how
 * many old bytes follow, how long the file was, how many bytes are written, and the old bytes. An fsync that succeeds
 * empties the list. Whoever plays the lists back from the end after a kill has what was synced, and nothing else.
 *
 * A failing disk. SHIM_DIR/fail holds "<call> <errno>", for write, truncate or sync: such calls fail while it is there.
 *
 * A clock. SHIM_DIR/clock holds eight bytes, milliseconds that are added to the wall clock.
 *
 * Directory entries are not played back, and -shm is not touched: after a power cut it is gone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *dir, *file;
static volatile int64_t *clock_offset;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    char path[4096];
    dir = getenv("SHIM_DIR");
    file = getenv("SHIM_FILE");
    if (!dir) return;
    snprintf(path, sizeof path, "%s/clock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *map = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) clock_offset = map;
    close(fd);
}

/* The name of a file that is meant, or NULL. */
static const char *meant(int fd, char *path, size_t size) {
    char link[64];
    if (!dir || !file) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return NULL;
    path[length] = 0;
    char *name = strrchr(path, '/');
    if (!name || strncmp(name + 1, file, strlen(file))) return NULL;
    return strstr(name, "-shm") ? NULL : name + 1;
}

/* The errno that this call is to fail with, or 0. */
static int failure(const char *call) {
    char path[4096], text[64] = {0}, name[32];
    int code = 0;
    snprintf(path, sizeof path, "%s/fail", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0 || sscanf(text, "%31s %d", name, &code) != 2 || strcmp(name, call)) return 0;
    return code;
}

static int undo_list(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.undo", dir, name);
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Keeps what [at, at + count) and the length of the file are now. */
static void remember(int fd, const char *name, int64_t at, int64_t count) {
    struct stat now;
    if (fstat(fd, &now)) abort();
    int64_t old = now.st_size > at ? now.st_size - at : 0;
    if (old > count) old = count;
    char *record = malloc(32 + old);
    memcpy(record, &at, 8);
    memcpy(record + 8, &old, 8);
    memcpy(record + 16, &(int64_t){now.st_size}, 8);
    memcpy(record + 24, &(int64_t){count == INT64_MAX ? 0 : count}, 8);
    if (old && syscall(SYS_pread64, fd, record + 32, old, at) != old) abort();
    int list = undo_list(name);
    if (list < 0 || syscall(SYS_write, list, record, 32 + old) != 32 + old) abort();
    close(list);
    free(record);
}

static ssize_t changed(int fd, const char *name, const void *bytes, size_t count, int64_t at, int seek) {
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    int code = failure("write");
    if (code) {
        errno = code;
    } else {
        remember(fd, name, at, count);
        done = seek ? syscall(SYS_write, fd, bytes, count) : syscall(SYS_pwrite64, fd, bytes, count, at);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    char path[4096];
    const char *name = meant(fd, path, sizeof path);
    return name ? changed(fd, name, bytes, count, at, 0) : syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[4096];
    const char *name = meant(fd, path, sizeof path);
    if (!name) return syscall(SYS_write, fd, bytes, count);
    return changed(fd, name, bytes, count, lseek(fd, 0, SEEK_CUR), 1);
}

int ftruncate64(int fd, off64_t length) {
    char path[4096];
    const char *name = meant(fd, path, sizeof path);
    if (!name) return syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int done = -1, code = failure("truncate");
    if (code) {
        errno = code;
    } else {
        remember(fd, name, length, INT64_MAX);
        done = syscall(SYS_ftruncate, fd, length);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd, long call) {
    char path[4096];
    const char *name = meant(fd, path, sizeof path);
    if (!name) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    int done = -1, code = failure("sync");
    if (code) {
        errno = code;
    } else if (!(done = syscall(call, fd))) {
        int list = undo_list(name);
        if (list < 0 || syscall(SYS_ftruncate, list, 0)) abort();
        close(list);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, clock, now);
    if (!done && clock == CLOCK_REALTIME && clock_offset) now->tv_sec += *clock_offset / 1000;
    return done;
}
