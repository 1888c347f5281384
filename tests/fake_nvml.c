/* A stand-in for libnvidia-ml.so.1: the calls that tasks/gpu.py makes.
 *
 *   FAKE_NVML_INIT   what nvmlInit returns (default 0; 9 = driver not loaded, 18 = library and driver differ)
 *   FAKE_NVML_CARDS  one letter a card:
 *                      g  good: every counter answers
 *                      o  old: has no nvmlDeviceGetTemperatureV and no power counter
 *                      l  lost: its handle answers, every counter fails with 15
 *                      x  gone: not even a handle
 *                      m  in MIG mode, with two slices
 *   FAKE_NVML_FILE   a file in place of FAKE_NVML_CARDS, read anew at every call: the cards of a running process
 *                    change with it. One card a line, by its own number, so that one can be taken from the middle:
 *                      <letter> <number> <MiB used> <percent busy> [<pid>:<MiB> ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, LOST = 15, WRONG_VERSION = 25 };
enum { MOST = 8, SLICES = 2 };

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    char kind;
    int number, slice; /* slice -1: the whole card */
    unsigned long long used;
    unsigned busy, count;
    Process processes[MOST];
} Card;
static Card handles[MOST][1 + SLICES]; /* what the caller holds: only number and slice are read */

static void add_process(Card *card, unsigned pid, unsigned long long mib) {
    Process process = {pid, mib << 20, 0xFFFFFFFF, 0xFFFFFFFF};
    if (card->count < MOST) card->processes[card->count++] = process;
}

static int read_letters(Card *cards) {
    const char *text = getenv("FAKE_NVML_CARDS");
    int count = 0;
    for (; text && text[count] && count < MOST; count++) {
        Card card = {.kind = text[count], .number = count, .slice = -1, .used = 20ull << 30};
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
        Card card = {.slice = -1};
        unsigned long long mib;
        unsigned pid;
        int at, more;
        if (sscanf(line, " %c %d %llu %u%n", &card.kind, &card.number, &mib, &card.busy, &at) < 4) continue;
        card.used = mib << 20;
        for (; sscanf(line + at, " %u:%llu%n", &pid, &mib, &more) == 2; at += more) add_process(&card, pid, mib);
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
    if (now(card).kind == 'l') return LOST;
    snprintf(text, size, "Stand-in %d", card->number);
    return OK;
}

typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Card *card, Memory *memory) {
    Card it = now(card);
    if (it.kind == 'l') return LOST;
    memory->total = 80ull << 30;
    memory->used = it.used;
    memory->free = memory->total - memory->used;
    return OK;
}

typedef struct { unsigned gpu, memory; } Use;
int nvmlDeviceGetUtilizationRates(Card *card, Use *use) {
    Card it = now(card);
    if (it.kind == 'l') return LOST;
    use->gpu = it.busy; /* an idle card is 0 %, not "unknown" */
    use->memory = 5;
    return OK;
}

typedef struct { unsigned version; int sensor; int celsius; } Temperature;
int nvmlDeviceGetTemperatureV(Card *card, Temperature *temperature) {
    char kind = now(card).kind;
    if (kind == 'l') return LOST;
    if (kind == 'o') return NO_FUNCTION;
    if (temperature->version != 0x100000C) return WRONG_VERSION;
    temperature->celsius = 61;
    return OK;
}
int nvmlDeviceGetTemperature(Card *card, int sensor, unsigned *celsius) {
    (void)sensor;
    if (now(card).kind != 'o') return NO_FUNCTION; /* as from CUDA 14 on */
    *celsius = 55;
    return OK;
}

int nvmlDeviceGetPowerUsage(Card *card, unsigned *milliwatts) {
    char kind = now(card).kind;
    if (kind == 'l') return LOST;
    if (kind == 'o') return NOT_SUPPORTED;
    *milliwatts = 312500;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Card *card, unsigned *count, Process *processes) {
    Card it = now(card);
    unsigned room = *count;
    if (it.kind == 'l') return LOST;
    *count = it.count;
    if (room < it.count) return TOO_SMALL; /* the first of two calls asks only for the size */
    for (unsigned i = 0; i < it.count; i++) processes[i] = it.processes[i];
    return OK;
}
