/* A stand-in for libnvidia-ml.so.1: the calls that tasks/gpu.py makes, answered from the environment.
 *
 *   FAKE_NVML_INIT   what nvmlInit returns (default 0; 9 = driver not loaded)
 *   FAKE_NVML_CARDS  one letter a card:
 *                      g  good: every counter answers
 *                      o  old: has no nvmlDeviceGetTemperatureV and no power counter
 *                      l  lost: its handle answers, every counter fails with 15
 *                      x  gone: not even a handle
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, TOO_SMALL = 7, NO_FUNCTION = 13, LOST = 15, WRONG_VERSION = 25 };

typedef struct { int index; char kind; } Card;
static Card cards[8];

static const char *kinds(void) {
    const char *text = getenv("FAKE_NVML_CARDS");
    return text ? text : "";
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
    *count = (unsigned)strlen(kinds());
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Card **card) {
    if (index >= strlen(kinds())) return INVALID_ARGUMENT;
    if (kinds()[index] == 'x') return LOST;
    cards[index].index = (int)index;
    cards[index].kind = kinds()[index];
    *card = &cards[index];
    return OK;
}

int nvmlDeviceGetUUID(Card *card, char *text, unsigned size) {
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", card->index);
    return OK;
}

int nvmlDeviceGetName(Card *card, char *text, unsigned size) {
    if (card->kind == 'l') return LOST;
    snprintf(text, size, "Stand-in %d", card->index);
    return OK;
}

typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Card *card, Memory *memory) {
    if (card->kind == 'l') return LOST;
    memory->total = 80ull << 30;
    memory->used = 20ull << 30;
    memory->free = memory->total - memory->used;
    return OK;
}

typedef struct { unsigned gpu, memory; } Use;
int nvmlDeviceGetUtilizationRates(Card *card, Use *use) {
    if (card->kind == 'l') return LOST;
    use->gpu = 0; /* an idle card is 0 %, not "unknown" */
    use->memory = 5;
    return OK;
}

typedef struct { unsigned version; int sensor; int celsius; } Temperature;
int nvmlDeviceGetTemperatureV(Card *card, Temperature *temperature) {
    if (card->kind == 'l') return LOST;
    if (card->kind == 'o') return NO_FUNCTION;
    if (temperature->version != 0x100000C) return WRONG_VERSION;
    temperature->celsius = 61;
    return OK;
}
int nvmlDeviceGetTemperature(Card *card, int sensor, unsigned *celsius) {
    (void)sensor;
    if (card->kind != 'o') return NO_FUNCTION; /* as from CUDA 14 on */
    *celsius = 55;
    return OK;
}

int nvmlDeviceGetPowerUsage(Card *card, unsigned *milliwatts) {
    if (card->kind == 'l') return LOST;
    if (card->kind == 'o') return NOT_SUPPORTED;
    *milliwatts = 312500;
    return OK;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Card *card, unsigned *count, Process *processes) {
    unsigned room = *count;
    if (card->kind == 'l') return LOST;
    *count = 1;
    if (room < 1) return TOO_SMALL; /* the first of two calls asks only for the size */
    processes[0].pid = 4242;
    processes[0].memory = 20ull << 30;
    processes[0].gpu_instance = processes[0].compute_instance = 0xFFFFFFFF;
    return OK;
}
