/* The system calls that a sandbox has, by libseccomp's names; those that the machine's architecture lacks are skipped.
 * What is named nowhere answers ENOSYS, as on a kernel that lacks it, so that programs fall back. NULL at the end. */
#pragma once

extern const char *const calls_allowed[];
/* Refused with EPERM and not ENOSYS, because programs expect that of them. */
extern const char *const calls_refused[];
