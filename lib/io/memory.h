/* What a process keeps of its memory. */
#pragma once

/* Gives back what only the start needed: free pages of the heap, and pages of programs and libraries that were read to
 * get here (relocations, symbols, code that runs once). The kernel has those in its cache; what is needed again is
 * mapped again when it is touched, some microseconds for each 64 KiB. Once, when a process is ready. */
void memory_give_back(void);
