/* Loaded before the C library into a host: its time of day is as many nanoseconds away from the true one as
 * the first eight bytes of the file say that CLOCK_FILE names, from the moment in which they say so. The clock
 * that nobody sets is left alone. A wait until a time of day that is under way when the clock jumps ends
 * when that time of day comes, as the kernel does it, if the host does such a thing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* How long a wait is before it is looked whether the clock jumped. */
#define LOOK (20 * 1000000LL)

static volatile const int64_t *jump;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("CLOCK_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *there = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
    if (there == MAP_FAILED) {
        fprintf(stderr, "missing: the file with the clock (CLOCK_FILE)\n");
        abort();
    }
    close(file);
    jump = there;
}

static int64_t nanos(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec timespec_of(int64_t nanos) {
    struct timespec time = {nanos / SECOND, nanos % SECOND};
    return time;
}

static int is_time_of_day(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && jump && is_time_of_day(clock)) *now = timespec_of(nanos(now) + *jump);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec time;
    int failed = clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

/* Ends after a look as if somebody had signalled for nothing, which every waiter has to expect. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec now, then;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = nanos(until) - nanos(&now);
    clock_gettime(CLOCK_MONOTONIC, &then);
    then = timespec_of(nanos(&then) + (left < 0 ? 0 : left < LOOK ? left : LOOK));
    int ended = pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &then);
    return ended == ETIMEDOUT && left > LOOK ? 0 : ended;
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int ended = pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
    return ended == 0 ? thrd_success : ended == ETIMEDOUT ? thrd_timedout : thrd_error;
}
