/* Work on the files of one workspace, in steps that come one after the other. exec's worker threads do it for this
 * machine, ogent-target for another host, both by errand_do. A file is read or written in blocks: ERRAND_OPEN and
 * ERRAND_PACK are followed by ERRAND_READ, ERRAND_PUT and ERRAND_TAKE by ERRAND_WRITE and then ERRAND_PLACE or
 * ERRAND_UNPACK. Blocking. */
#pragma once

#include "base/error.h"
#include "snapshot.h"

enum errand_op {
	ERRAND_NONE,    /* never asked for: who forgets to say what he wants may do nothing */
	ERRAND_MAKE,    /* the workspace itself, which is not there yet: not by errand_do */
	ERRAND_MEASURE, /* size, list of snapshots */
	ERRAND_OPEN,    /* path: a file, for ERRAND_READ, or a folder: at most n items behind `other` ("" = all) */
	ERRAND_READ,    /* n bytes at most, from the offset */
	ERRAND_PUT,     /* path: an upload begins */
	ERRAND_WRITE,
	ERRAND_PLACE, /* path, mode */
	ERRAND_REMOVE,
	ERRAND_MKDIR,
	ERRAND_MOVE,    /* path to `other` */
	ERRAND_PACK,    /* what is below path becomes an archive, for ERRAND_READ */
	ERRAND_TAKE,    /* an archive begins to come, for path */
	ERRAND_UNPACK,  /* below path */
	ERRAND_LIST,    /* the snapshots */
	ERRAND_KEEP,    /* a snapshot named `other` */
	ERRAND_RESTORE, /* the snapshot `other`; the errand is over */
	ERRAND_DROP,    /* that one goes */
	ERRAND_COPY,    /* the snapshot `other` ("" = as it is now) becomes the new workspace `path` */
	ERRAND_ERASE,   /* the workspace and its snapshots go; the errand is over */
	ERRAND_OPS
};

enum errand_flag {
	ERRAND_PARENTS = 1,
	ERRAND_REPLACE = 2,
	ERRAND_RECURSIVE = 4,
	ERRAND_NEW_ONLY = 8,
	ERRAND_GZIP = 16,
	ERRAND_RUNNING = 32, /* commands run: protected files stay */
	ERRAND_STEP = 64,    /* a snapshot of a run's step */
	ERRAND_ALONE = 128,  /* from here on nobody else may be at work in it */
	ERRAND_FLAGS = 255
};

#define ERRAND_BLOCK (256u << 10) /* of ERRAND_READ */
#define ERRAND_ITEMS_MAX 200
#define ERRAND_DATA_MAX (768u << 10) /* of ERRAND_WRITE */

struct errand_step {
	enum errand_op op;
	unsigned flags; /* enum errand_flag */
	const char *path, *other;
	mode_t mode;
	uint64_t offset, n;
	struct str data;
};

/* What it needs not is zero. All but `data`, which is the errand's until its next step, is in the arena of the call. */
struct errand_result {
	int result;       /* 0 or -errno, as the functions of tree.h, tarball.h and snapshot.h */
	struct error err; /* with -EBADMSG */
	bool was_there;   /* ERRAND_PUT */
	struct stat st;   /* st_mode, st_size, st_ino and st_mtim */
	struct tree_item *items;
	size_t n;
	bool is_more; /* items follow */
	struct tree_size size;
	bool is_measured; /* size is all of it */
	struct snapshot snapshot;
	struct snapshot_list list;
	struct str data;
};

/* What another host is told of it at its beginning. */
struct errand_request {
	const char *workspace;
	bool writes, alone; /* it shares the workspace with others who write, or has it alone */
	uint64_t bytes_max; /* as in struct snapshots */
	unsigned snapshots_max, steps_max;
};

struct errand {
	const struct snapshots *on; /* this machine's */
	const char *workspace;
	int root; /* its folder; the errand's */
	int file; /* that is read, or an archive that comes; -1 = none */
	struct tree_upload up;
	char *block;
};

void errand_init(struct errand *e, const struct snapshots *on, const char *workspace, int root);
/* Also in the middle: an upload that was not placed leaves nothing. */
void errand_deinit(struct errand *e);
void errand_do(struct errand *e, const struct errand_step *s, struct arena *a, struct errand_result *ret);
