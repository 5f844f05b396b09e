/* Makes chosen system calls on the files of one folder fail, while the program that it is preloaded into runs.
 *
 * FAULTS_FOLDER names the folder. FAULTS_CONTROL names a file that is read again at each call:
 *
 *     <run> <calls> <form> <first> <count> <errno>
 *
 * `calls` is a word of letters: w write, s sync, t truncate, o open to write, r rename, u unlink. Of those calls since
 * `run` last changed, `count` from the `first` on fail, counted from 1: with `refuse` nothing is done, with `lie` it is
 * done and the error is told all the same. How many calls were met is written to FAULTS_CONTROL.met as `<run> <met>`.
 *
 * Two more forms concern every such call: with `full` those fail that would make the folder hold more than <first>
 * bytes, as on a small disk; with `slow` each takes <first> milliseconds more.
 *
 * Where FAULTS_DURABLE names a folder, it holds what a power cut would leave: of each file what was there when it was
 * last synced. What is told to the tests and how is left to them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum form { PASS, REFUSE, LIE };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long run_now = -1, met;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int in_folder(const char *path) {
    const char *folder = getenv("FAULTS_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* The file behind a descriptor, if it lies in the folder. */
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return in_folder(path);
}

static int fd_in_folder(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path);
}

/* How many bytes the files of the folder hold. */
static off64_t held(void) {
    off64_t sum = 0;
    DIR *folder = opendir(getenv("FAULTS_FOLDER"));
    if (!folder) return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat64 found;
        if (fstatat64(dirfd(folder), entry->d_name, &found, 0) == 0 && S_ISREG(found.st_mode)) sum += found.st_size;
    }
    closedir(folder);
    return sum;
}

/* By how much a file grows that is to reach that far. */
static off64_t growth(int fd, off64_t end) {
    struct stat64 found;
    if (fstat64(fd, &found) != 0 || end <= found.st_size) return 0;
    return end - found.st_size;
}

static off64_t here(int fd, size_t size) {
    off64_t at = lseek64(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : at + (off64_t)size;
}

/* Copies a file as it is now to where a power cut would leave it. */
static void endure(int fd) {
    const char *durable = getenv("FAULTS_DURABLE");
    char path[PATH_MAX], copy[PATH_MAX], fresh[PATH_MAX + 8], bytes[65536];
    if (!durable || !path_of(fd, path)) return;
    const char *name = path + strlen(getenv("FAULTS_FOLDER")) + 1;
    struct stat64 found;
    if (strchr(name, '/') || fstat64(fd, &found) != 0 || !S_ISREG(found.st_mode)) return;
    if (snprintf(copy, sizeof copy, "%s/%s", durable, name) >= (int)sizeof copy) return;
    snprintf(fresh, sizeof fresh, "%s.new", copy);
    int from = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
    int to = REAL(open64)(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0) abort();
    for (ssize_t count; (count = read(from, bytes, sizeof bytes)) > 0;)
        if (REAL(write)(to, bytes, (size_t)count) != count) abort();
    close(from);
    close(to);
    if (REAL(rename)(fresh, copy) != 0) abort();
}

static int synced(int fd, int result) {
    if (result == 0) endure(fd);
    return result;
}

static void tell(const char *control, long run) {
    char path[PATH_MAX], text[64];
    snprintf(path, sizeof path, "%s.met", control);
    /* Of one length, so that a later text covers an earlier one whole. */
    int length = snprintf(text, sizeof text, "%10ld %10ld\n", run, met);
    int fd = REAL(open64)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (REAL(pwrite64)(fd, text, (size_t)length, 0) < 0) abort();
    close(fd);
}

/* What becomes of this call; errno is set where it is not to pass. */
static enum form fate(char call, int concerned, off64_t more, int *error) {
    const char *control = getenv("FAULTS_CONTROL");
    if (!control || !concerned) return PASS;
    enum form form = PASS;
    char text[256] = "", calls[16] = "", word[16] = "";
    long run, first, count;
    int number, saved = errno;
    pthread_mutex_lock(&turn);
    int fd = REAL(open64)(control, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        if (length > 0 && sscanf(text, "%ld %15s %15s %ld %ld %d", &run, calls, word, &first, &count, &number) == 6
            && strchr(calls, call)) {
            if (run != run_now) run_now = run, met = 0;
            met++;
            tell(control, run);
            if (strcmp(word, "full") == 0) {
                if (more > 0 && held() + more > first) form = REFUSE, *error = number;
            } else if (strcmp(word, "slow") == 0) {
                usleep((useconds_t)first * 1000);
            } else if (met >= first && met - first < count) {
                form = strcmp(word, "lie") == 0 ? LIE : REFUSE;
                *error = number;
            }
        }
    }
    pthread_mutex_unlock(&turn);
    errno = saved;
    return form;
}

#define SUFFER(call, concerned, more, done) \
    do { \
        int error = 0; \
        enum form form = fate(call, concerned, more, &error); \
        if (form == PASS) return done; \
        if (form == LIE) (void)!done; \
        errno = error; \
        return -1; \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t size) { 
    SUFFER('w', fd_in_folder(fd), growth(fd, here(fd, size)), REAL(write)(fd, bytes, size));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t size = 0;
    for (int part = 0; part < count; part++) size += parts[part].iov_len;
    SUFFER('w', fd_in_folder(fd), growth(fd, here(fd, size)), REAL(writev)(fd, parts, count));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    SUFFER('w', fd_in_folder(fd), growth(fd, at + (off64_t)size), REAL(pwrite64)(fd, bytes, size, at));
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    SUFFER('w', fd_in_folder(fd), growth(fd, at + (off64_t)size), REAL(pwrite)(fd, bytes, size, at));
}

int fsync(int fd) { SUFFER('s', fd_in_folder(fd), 0, synced(fd, REAL(fsync)(fd))); }
int fdatasync(int fd) { SUFFER('s', fd_in_folder(fd), 0, synced(fd, REAL(fdatasync)(fd))); }
int ftruncate64(int fd, off64_t size) { SUFFER('t', fd_in_folder(fd), growth(fd, size), REAL(ftruncate64)(fd, size)); }
int ftruncate(int fd, off_t size) { SUFFER('t', fd_in_folder(fd), growth(fd, size), REAL(ftruncate)(fd, size)); }
int rename(const char *from, const char *to) { SUFFER('r', in_folder(to), 0, REAL(rename)(from, to)); }
int unlink(const char *path) { SUFFER('u', in_folder(path), 0, REAL(unlink)(path)); }

/* To read is never refused: the faults are those of writing. */
static int to_write(const char *path, int flags) { return (flags & (O_ACCMODE | O_CREAT)) != 0 && in_folder(path); }

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int error = 0; \
        enum form form = fate('o', to_write(path, flags), 0, &error); \
        if (form == PASS) return REAL(name)(path, flags, mode); \
        if (form == LIE) { \
            int opened = REAL(name)(path, flags, mode); \
            if (opened >= 0) close(opened); \
        } \
        errno = error; \
        return -1; \
    }

OPENS(open)
OPENS(open64)
