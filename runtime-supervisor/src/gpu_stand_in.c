/* A stand-in for libnvidia-ml.so.1 in tests: two devices with 3 and 4 GB in use, and every function
 * that names or lists processes ends the caller (contract 2, Ph). With -DFAILS the devices do not
 * answer. Signatures and structures as in NVIDIA's nvml.h. */
#include <stdlib.h>

typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} memory_v2;

static int devices[2];

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index > 1) return 2; /* NVML_ERROR_INVALID_ARGUMENT */
    *device = &devices[index];
    return 0;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, memory_v2 *memory) {
#ifdef FAILS
    return 15; /* NVML_ERROR_GPU_IS_LOST */
#endif
    if (memory->version != (sizeof *memory | 2 << 24)) return 25;
    memory->used = device == &devices[0] ? 3000000000ull : 4000000000ull;
    return 0;
}

#define FORBIDDEN(name) int name(void) { abort(); }
FORBIDDEN(nvmlDeviceGetComputeRunningProcesses)
FORBIDDEN(nvmlDeviceGetComputeRunningProcesses_v2)
FORBIDDEN(nvmlDeviceGetComputeRunningProcesses_v3)
FORBIDDEN(nvmlDeviceGetGraphicsRunningProcesses)
FORBIDDEN(nvmlDeviceGetGraphicsRunningProcesses_v2)
FORBIDDEN(nvmlDeviceGetGraphicsRunningProcesses_v3)
FORBIDDEN(nvmlDeviceGetMPSComputeRunningProcesses)
FORBIDDEN(nvmlDeviceGetMPSComputeRunningProcesses_v2)
FORBIDDEN(nvmlDeviceGetMPSComputeRunningProcesses_v3)
FORBIDDEN(nvmlDeviceGetRunningProcessDetailList)
FORBIDDEN(nvmlDeviceGetProcessUtilization)
FORBIDDEN(nvmlDeviceGetProcessesUtilizationInfo)
FORBIDDEN(nvmlDeviceGetVgpuProcessUtilization)
FORBIDDEN(nvmlDeviceGetVgpuProcessesUtilizationInfo)
FORBIDDEN(nvmlDeviceGetAccountingPids)
FORBIDDEN(nvmlDeviceGetAccountingStats)
FORBIDDEN(nvmlSystemGetProcessName)
