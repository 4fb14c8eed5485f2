/* A program for the kernel's packet filter (classic BPF), written with labels; the kernel knows distances only. */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

#define BPF_NEXT 0 /* a label: the next instruction */
#define BPF_STEPS 512
#define BPF_LABELS 256

struct bpf {
	struct bpf_step {
		uint16_t code;
		uint32_t k;
		unsigned yes, no; /* labels */
	} steps[BPF_STEPS];
	unsigned n;
	unsigned places[BPF_LABELS], n_labels;
};
#define BPF_EMPTY ((struct bpf){.n_labels = 1})

/* A label without a place yet. */
unsigned bpf_label(struct bpf *b);
/* Its place is here. */
void bpf_here(struct bpf *b, unsigned label);
void bpf_load(struct bpf *b, uint32_t offset);
/* `op` (BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET) with what was loaded and k. */
void bpf_if(struct bpf *b, uint16_t op, uint32_t k, unsigned yes, unsigned no);
void bpf_return(struct bpf *b, uint32_t value);
/* *ret->filter is from malloc. 0, or -E2BIG: it is too long, or a distance is. */
int bpf_finish(const struct bpf *b, struct sock_fprog *ret);
