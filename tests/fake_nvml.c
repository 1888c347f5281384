/* A stand-in for libnvidia-ml.so.1: the calls that tasks/gpu.py makes.
 *
 *   FAKE_NVML_INIT   what nvmlInit returns (default 0; 9 = driver not loaded, 18 = library and driver differ)
 *   FAKE_NVML_CUDA   the newest CUDA that the driver runs (default 13000, which is 13.0)
 *   FAKE_NVML_CARDS  one letter a card:
 *                      g  good: every counter answers
 *                      o  old: has no nvmlDeviceGetTemperatureV, no power and no energy counter, reasons by an older name
 *                      p  has a power counter, and none of energy
 *                      l  lost: its handle answers, every counter fails with 15
 *                      x  gone: not even a handle
 *                      m  in MIG mode, with two slices
 *   FAKE_NVML_FILE   a file in place of FAKE_NVML_CARDS, read anew at every call: the cards of a running process
 *                    change with it. One card a line, by its own number, so that one can be taken from the middle:
 *                      <letter> <number> <MiB used> <percent busy> [<pid>:<MiB> ...] [w=<watts>] [e=<mJ>@<seconds>]
 *                      [!<counter> ...]
 *                    e: what the energy counter said at that time of the clock; it goes on from there with w.
 *                    !: the counter fails with 999; its name is a letter of its call (see `failing`).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, LOST = 15, WRONG_VERSION = 25, UNKNOWN = 999 };
enum { MOST = 8, SLICES = 2 };

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    char kind;
    int number, slice; /* slice -1: the whole card */
    unsigned long long used;
    unsigned busy, count;
    Process processes[MOST];
    double watts, millijoules, since;
    char failing[32]; /* m memory, u use, t temperature, w power, l its limit, e energy, c clocks, r reasons, x ECC,
                         b PCIe, p processes, n name */
} Card;
static Card handles[MOST][1 + SLICES]; /* what the caller holds: only number and slice are read */

static void add_process(Card *card, unsigned pid, unsigned long long mib) {
    Process process = {pid, mib << 20, 0xFFFFFFFF, 0xFFFFFFFF};
    if (card->count < MOST) card->processes[card->count++] = process;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* The rest of a card's line: processes, then what else it says. */
static void read_rest(Card *card, char *text) {
    for (char *save, *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        unsigned long long mib;
        unsigned pid;
        if (sscanf(word, "%u:%llu", &pid, &mib) == 2) add_process(card, pid, mib);
        sscanf(word, "w=%lf", &card->watts);
        sscanf(word, "e=%lf@%lf", &card->millijoules, &card->since);
        if (word[0] == '!') strncat(card->failing, word + 1, 1);
    }
}

static int read_letters(Card *cards) {
    const char *text = getenv("FAKE_NVML_CARDS");
    int count = 0;
    for (; text && text[count] && count < MOST; count++) {
        Card card = {.kind = text[count], .number = count, .slice = -1, .used = 20ull << 30, .watts = 312.5};
        add_process(&card, 4242, 20 << 10);
        cards[count] = card;
    }
    return count;
}

static int read_cards(Card *cards) {
    const char *path = getenv("FAKE_NVML_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int count = 0;
    if (!file) return read_letters(cards);
    while (count < MOST && fgets(line, sizeof line, file)) {
        Card card = {.slice = -1, .watts = 312.5};
        unsigned long long mib;
        int at;
        if (sscanf(line, " %c %d %llu %u%n", &card.kind, &card.number, &mib, &card.busy, &at) < 4) continue;
        card.used = mib << 20;
        read_rest(&card, line + at);
        cards[count++] = card;
    }
    fclose(file);
    return count;
}

/* The card as it is now; a lost one where it is no longer there. */
static Card now(const Card *handle) {
    Card cards[MOST], lost = {.kind = 'l', .number = handle->number, .slice = handle->slice};
    int count = read_cards(cards);
    for (int i = 0; i < count; i++)
        if (cards[i].number == handle->number) {
            cards[i].slice = handle->slice;
            return cards[i];
        }
    return lost;
}

/* What a counter answers before it looks: OK, or how it fails. */
static int answer(const Card *card, char counter) {
    if (card->kind == 'l') return LOST;
    return strchr(card->failing, counter) ? UNKNOWN : OK;
}

static Card *handle_of(int number, int slice) {
    Card *handle = &handles[number][1 + slice];
    handle->number = number;
    handle->slice = slice;
    return handle;
}

int nvmlInitWithFlags(unsigned flags) {
    const char *answer = getenv("FAKE_NVML_INIT");
    (void)flags;
    return answer ? atoi(answer) : OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case 9: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    default: return "Some other error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    snprintf(text, size, "600.01");
    return OK;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    const char *said = getenv("FAKE_NVML_CUDA");
    *version = said ? atoi(said) : 13000;
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    Card cards[MOST];
    *count = (unsigned)read_cards(cards);
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Card **card) {
    Card cards[MOST];
    if ((int)index >= read_cards(cards)) return INVALID_ARGUMENT;
    if (cards[index].kind == 'x') return LOST;
    *card = handle_of(cards[index].number, -1);
    return OK;
}

int nvmlDeviceGetUUID(Card *card, char *text, unsigned size) {
    if (card->slice < 0)
        snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", card->number);
    else
        snprintf(text, size, "MIG-00000000-0000-0000-%04d-%012d", card->slice, card->number);
    return OK;
}

int nvmlDeviceGetMigMode(Card *card, unsigned *current, unsigned *pending) {
    Card it = now(card);
    if (it.kind == 'l') return LOST;
    if (it.kind == 'o') return NOT_SUPPORTED;
    *current = *pending = it.kind == 'm';
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Card *card, unsigned *count) {
    (void)card;
    *count = 7;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Card *card, unsigned index, Card **slice) {
    if (index % 3 || index / 3 >= SLICES) return NOT_FOUND; /* slices lie where they were made, with gaps */
    *slice = handle_of(card->number, (int)index / 3);
    return OK;
}

int nvmlDeviceGetName(Card *card, char *text, unsigned size) {
    Card it = now(card);
    snprintf(text, size, "Stand-in %d", card->number);
    return answer(&it, 'n');
}

typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Card *card, Memory *memory) {
    Card it = now(card);
    memory->total = (card->slice < 0 ? 80ull : 40ull) << 30;
    memory->used = it.used;
    memory->free = memory->total - memory->used;
    return answer(&it, 'm');
}

typedef struct { unsigned gpu, memory; } Use;
int nvmlDeviceGetUtilizationRates(Card *card, Use *use) {
    Card it = now(card);
    if (it.kind == 'm') return NOT_SUPPORTED;
    use->gpu = it.busy; /* an idle card is 0 %, not "unknown" */
    use->memory = 5;
    return answer(&it, 'u');
}

typedef struct { unsigned version; int sensor; int celsius; } Temperature;
int nvmlDeviceGetTemperatureV(Card *card, Temperature *temperature) {
    Card it = now(card);
    if (it.kind == 'o') return NO_FUNCTION;
    if (temperature->version != 0x100000C) return WRONG_VERSION;
    temperature->celsius = 61;
    return answer(&it, 't');
}
int nvmlDeviceGetTemperature(Card *card, int sensor, unsigned *celsius) {
    (void)sensor;
    if (now(card).kind != 'o') return NO_FUNCTION; /* as from CUDA 14 on */
    *celsius = 55;
    return OK;
}

int nvmlDeviceGetPowerUsage(Card *card, unsigned *milliwatts) {
    Card it = now(card);
    if (it.kind == 'o') return NOT_SUPPORTED;
    *milliwatts = (unsigned)(it.watts * 1000);
    return answer(&it, 'w');
}

int nvmlDeviceGetEnforcedPowerLimit(Card *card, unsigned *milliwatts) {
    Card it = now(card);
    *milliwatts = 700000;
    return answer(&it, 'l');
}

int nvmlDeviceGetTotalEnergyConsumption(Card *card, unsigned long long *millijoules) {
    Card it = now(card);
    if (it.kind == 'o' || it.kind == 'p') return NOT_SUPPORTED;
    *millijoules = (unsigned long long)(it.millijoules + (it.since ? it.watts * 1000 * (seconds() - it.since) : 0));
    return answer(&it, 'e');
}

int nvmlDeviceGetClockInfo(Card *card, int which, unsigned *mhz) {
    Card it = now(card);
    *mhz = which == 1 ? 1980 : 2619; /* 1: the SMs', 2: the memory's */
    return answer(&it, 'c');
}

int nvmlDeviceGetCurrentClocksEventReasons(Card *card, unsigned long long *reasons) {
    Card it = now(card);
    if (it.kind == 'o') return NO_FUNCTION;
    *reasons = 1 << 2 | 1 << 5 | 1ull << 40; /* power cap, thermal, and one that nobody knows yet */
    return answer(&it, 'r');
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Card *card, unsigned long long *reasons) {
    (void)card;
    *reasons = 1;
    return OK;
}

int nvmlDeviceGetTotalEccErrors(Card *card, int kind, int since, unsigned long long *count) {
    Card it = now(card);
    (void)since;
    *count = kind == 0 ? 3 : 1; /* 0: corrected */
    return answer(&it, 'x');
}

int nvmlDeviceGetPcieThroughput(Card *card, int which, unsigned *kilobytes) {
    Card it = now(card);
    *kilobytes = which == 0 ? 12000 : 34000; /* 0: sent */
    return answer(&it, 'b');
}

int nvmlDeviceGetComputeRunningProcesses_v3(Card *card, unsigned *count, Process *processes) {
    Card it = now(card);
    unsigned room = *count;
    if (answer(&it, 'p')) return answer(&it, 'p');
    *count = it.count;
    if (room < it.count) return TOO_SMALL; /* the first of two calls asks only for the size */
    for (unsigned i = 0; i < it.count; i++) processes[i] = it.processes[i];
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Card *card, unsigned *count, Process *processes) {
    (void)card, (void)processes;
    *count = 0;
    return OK;
}
