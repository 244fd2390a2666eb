/* SPDX-License-Identifier: MIT
 *
 * Questions to the processor: CPUID and XCR0 on x86 (Intel's manual, volumes 2A and 3,
 * "CPUID", "XGETBV", "Intel AMX"), the system's list of capabilities on ARM.
 */
#include "simd/processor.h"

#include <stdint.h>

#ifdef __x86_64__

#include <cpuid.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef struct answer {
    unsigned int eax, ebx, ecx, edx;
} answer;

/* All zero for a leaf the processor has not. */
static answer ask(unsigned int leaf, unsigned int subleaf)
{
    answer a = {0};
    __get_cpuid_count(leaf, subleaf, &a.eax, &a.ebx, &a.ecx, &a.edx);
    return a;
}

static bool all_bits(uint64_t value, uint64_t bits)
{
    return (value & bits) == bits;
}

#define BIT(n) (UINT64_C(1) << (n))
enum { STATE_SSE = 1, STATE_AVX = 2, STATE_OPMASK = 5, STATE_ZMM_HIGH = 6, STATE_ZMM = 7 };
enum { STATE_TILE_SHAPES = 17, STATE_TILES = 18 };

/* The system saves these states at a change of threads. */
static bool system_saves(uint64_t states)
{
    if (!all_bits(ask(1, 0).ecx, BIT(27))) return false; /* OSXSAVE: XGETBV may be used */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return all_bits((uint64_t)high << 32 | low, states);
}

bool rm_processor_has_avx2(void)
{
    return system_saves(BIT(STATE_SSE) | BIT(STATE_AVX)) &&
           all_bits(ask(1, 0).ecx, BIT(12) | BIT(28) | BIT(29)) && /* FMA, AVX, F16C */
           all_bits(ask(7, 0).ebx, BIT(5));                        /* AVX2 */
}

bool rm_processor_has_avx512(void)
{
    return rm_processor_has_avx2() &&
           system_saves(BIT(STATE_OPMASK) | BIT(STATE_ZMM_HIGH) | BIT(STATE_ZMM)) &&
           all_bits(ask(7, 0).ebx, BIT(16) | BIT(17) | BIT(30) | BIT(31)); /* F, DQ, BW, VL */
}

bool rm_processor_has_avx512bf16(void)
{
    return rm_processor_has_avx512() && all_bits(ask(7, 1).eax, BIT(5)) &&
           all_bits(ask(7, 0).ecx, BIT(11)); /* VNNI, which all of them have */
}

/* Tile registers are large, so Linux keeps them from processes that have not asked. */
static bool may_use_tiles(void)
{
#ifdef __linux__
    enum { REQUEST_PERMISSION = 0x1023 }; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, STATE_TILES) == 0;
#else
    return false;
#endif
}

bool rm_processor_has_amx(void)
{
    return rm_processor_has_avx512bf16() &&
           all_bits(ask(7, 0).edx, BIT(22) | BIT(24) | BIT(25)) && /* AMX-BF16, -TILE, -INT8 */
           system_saves(BIT(STATE_TILE_SHAPES) | BIT(STATE_TILES)) && may_use_tiles();
}

#endif

#ifdef __aarch64__

#ifdef __linux__
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

bool rm_processor_has_neonbf16(void)
{
#ifdef __linux__
    const unsigned long bf16 = 1ul << 14;        /* HWCAP2_BF16 */
    const unsigned long dot_product = 1ul << 20; /* HWCAP_ASIMDDP */
    return getauxval(AT_HWCAP2) & bf16 && getauxval(AT_HWCAP) & dot_product;
#elif defined(__APPLE__)
    int has = 0;
    size_t size = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_BF16", &has, &size, NULL, 0) == 0 && has;
#else
    return false;
#endif
}

#endif
