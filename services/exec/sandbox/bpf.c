#include "sandbox/bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

unsigned bpf_label(struct bpf *b)
{
	return b->n_labels++;
}

void bpf_here(struct bpf *b, unsigned label)
{
	if (label < BPF_LABELS)
		b->places[label] = b->n;
}

/* What has no room is counted, and refused at the end. */
static void add(struct bpf *b, struct bpf_step step)
{
	if (b->n < BPF_STEPS)
		b->steps[b->n] = step;
	b->n++;
}

void bpf_load(struct bpf *b, uint32_t offset)
{
	add(b, (struct bpf_step){BPF_LD | BPF_W | BPF_ABS, offset, BPF_NEXT, BPF_NEXT});
}

void bpf_if(struct bpf *b, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	add(b, (struct bpf_step){BPF_JMP | op | BPF_K, k, yes, no});
}

void bpf_return(struct bpf *b, uint32_t value)
{
	add(b, (struct bpf_step){BPF_RET | BPF_K, value, BPF_NEXT, BPF_NEXT});
}

/* Of the instruction at `from`, which can go on forwards only. */
static bool distance(const struct bpf *b, unsigned from, unsigned label, uint8_t *ret)
{
	unsigned at = label == BPF_NEXT ? from + 1 : b->places[label];

	*ret = (uint8_t)(at - from - 1);
	return at > from && at < b->n && at - from - 1 <= UINT8_MAX;
}

int bpf_finish(const struct bpf *b, struct sock_fprog *ret)
{
	struct sock_filter *f;

	if (b->n > BPF_STEPS || b->n_labels > BPF_LABELS)
		return -E2BIG;
	f = xcalloc(b->n, sizeof(*f));
	for (unsigned i = 0; i < b->n; i++) {
		const struct bpf_step *s = &b->steps[i];

		f[i] = (struct sock_filter){.code = s->code, .k = s->k};
		if (BPF_CLASS(s->code) == BPF_JMP &&
		    (!distance(b, i, s->yes, &f[i].jt) || !distance(b, i, s->no, &f[i].jf))) {
			free(f);
			return -E2BIG;
		}
	}
	*ret = (struct sock_fprog){.len = (unsigned short)b->n, .filter = f};
	return 0;
}
