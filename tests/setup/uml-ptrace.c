/* Lets user-mode Linux 6.1 run on a processor whose XSAVE area is larger than its 2,696 bytes. Preloaded into linux.uml,
 * it completes the area that linux.uml writes back with PTRACE_SETREGSET, as the kernel takes it whole or not at all.
 *
 * Only the state of AMX lies beyond. Programs inside cannot use AMX, for want of a permission (ARCH_REQ_XCOMP_PERM of
 * arch_prctl(2)) that linux.uml does not ask for: it is always in its initial state, which a clear bit says in the
 * header of the area. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { LARGEST = 65536, HEADER = 512 };
static const uint64_t UP_TO_AVX512_AND_PKRU = 0x2ff; /* bits of XCR0 */

long ptrace(enum __ptrace_request request, ...)
{
    static long (*libc)(enum __ptrace_request, ...);
    static char area[LARGEST];
    static size_t size;
    va_list arguments;

    va_start(arguments, request);
    int pid = va_arg(arguments, int);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (!libc)
        libc = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return libc(request, pid, address, data);

    const struct iovec *given = data;
    struct iovec whole = {area, LARGEST};
    if (!size) {
        if (libc(PTRACE_GETREGSET, pid, address, &whole) < 0)
            return -1;
        size = whole.iov_len;
    }
    if (given->iov_len >= size)
        return libc(request, pid, address, data);
    memset(area, 0, size);
    memcpy(area, given->iov_base, given->iov_len);
    *(uint64_t *)(area + HEADER) &= UP_TO_AVX512_AND_PKRU;
    whole.iov_len = size;
    return libc(PTRACE_SETREGSET, pid, address, &whole);
}
