#include "io/dns_srv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define HEADER_SIZE 12
#define TYPE_CNAME 5
#define TYPE_SRV 33
#define CLASS_IN 1
#define ALIASES_MAX 8 /* in a chain */

struct reader {
	const uint8_t *p;
	size_t n, at;
	bool failed;
};

struct record {
	char owner[DNS_NAME_SIZE];
	uint16_t type, class;
	uint32_t ttl;
	size_t data, end; /* places in the message */
};

static uint32_t read_number(struct reader *r, unsigned bytes)
{
	uint32_t v = 0;

	if (r->failed || r->n - r->at < bytes) {
		r->failed = true;
		return 0;
	}
	while (bytes--)
		v = v << 8 | r->p[r->at++];
	return v;
}

/* What hosts and services are named with; anything else could not be told apart in text. */
static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool add_label(char *name, size_t *used, const uint8_t *label, size_t n)
{
	if (*used + n + 2 > DNS_NAME_SIZE)
		return false;
	if (*used)
		name[(*used)++] = '.';
	for (size_t i = 0; i < n; i++) {
		if (!is_name_byte(label[i]))
			return false;
		name[(*used)++] = (char)label[i];
	}
	return true;
}

/* A name, perhaps with pointers to earlier places (RFC 1035 section 4.1.4). Each must lead further back, so that none
 * goes round in circles. */
static void read_name(struct reader *r, char name[static DNS_NAME_SIZE])
{
	size_t used = 0, at = r->at, before = r->at;
	bool has_jumped = false;

	while (!r->failed) {
		uint8_t length = at < r->n ? r->p[at] : 0xff;

		if (length >= 0xc0 && at + 1 < r->n) {
			size_t to = (size_t)(length & 0x3f) << 8 | r->p[at + 1];

			if (!has_jumped)
				r->at = at + 2;
			has_jumped = true;
			r->failed = to >= before;
			before = at = to;
		} else if (length > 63 || at + 1 + length > r->n) {
			r->failed = true;
		} else if (length == 0) {
			if (!has_jumped)
				r->at = at + 1;
			break;
		} else {
			r->failed = !add_label(name, &used, r->p + at + 1, length);
			at += 1 + (size_t)length;
		}
	}
	name[used] = '\0';
}

static bool read_record(struct reader *r, struct record *ret)
{
	read_name(r, ret->owner);
	ret->type = (uint16_t)read_number(r, 2);
	ret->class = (uint16_t)read_number(r, 2);
	ret->ttl = read_number(r, 4);
	if (ret->ttl > INT32_MAX)
		ret->ttl = 0; /* RFC 2181 section 8 */

	size_t length = read_number(r, 2);
	ret->data = r->at;
	ret->end = r->at + length;
	r->failed = r->failed || length > r->n - r->at;
	if (!r->failed)
		r->at = ret->end;
	return !r->failed;
}

static void read_srv(const struct reader *message, const struct record *record, struct dns_srv *ret, bool *failed)
{
	struct reader r = {message->p, record->end, record->data, false};

	ret->priority = (uint16_t)read_number(&r, 2);
	ret->weight = (uint16_t)read_number(&r, 2);
	ret->port = (uint16_t)read_number(&r, 2);
	read_name(&r, ret->target);
	*failed = *failed || r.failed || r.at != record->end;
}

/* Follows one alias of `name`. False: there is none. */
static bool follow_alias(struct reader records, unsigned n_records, char name[static DNS_NAME_SIZE], uint32_t *ttl,
			 bool *failed)
{
	struct record record;

	while (n_records-- && read_record(&records, &record)) {
		struct reader data = {records.p, record.end, record.data, false};

		if (record.type != TYPE_CNAME || record.class != CLASS_IN || strcasecmp(record.owner, name))
			continue;
		read_name(&data, name);
		*failed = *failed || data.failed;
		*ttl = MIN(*ttl, record.ttl);
		return true;
	}
	*failed = *failed || records.failed;
	return false;
}

static int collect(struct reader records, unsigned n_records, const char *name, uint32_t ttl, struct dns_srv *ret,
		   size_t max)
{
	struct record record;
	bool failed = false;
	size_t n = 0;

	while (n_records-- && n < max && read_record(&records, &record)) {
		if (record.type != TYPE_SRV || record.class != CLASS_IN || strcasecmp(record.owner, name))
			continue;
		read_srv(&records, &record, &ret[n], &failed);
		ret[n].ttl = MIN(ttl, record.ttl);
		n++;
	}
	return failed || records.failed ? -EBADMSG : (int)n;
}

int dns_srv_parse(const uint8_t *message, size_t n, struct dns_srv *ret, size_t max)
{
	struct reader r = {message, n, 0, n < HEADER_SIZE};
	char name[DNS_NAME_SIZE];
	uint32_t ttl = UINT32_MAX;
	bool failed = false;

	read_number(&r, 4); /* id, flags */
	unsigned questions = read_number(&r, 2), answers = read_number(&r, 2);
	read_number(&r, 4);
	if (r.failed || questions != 1)
		return -EBADMSG;
	read_name(&r, name);
	read_number(&r, 4);
	for (unsigned i = 0; i < ALIASES_MAX && !r.failed && follow_alias(r, answers, name, &ttl, &failed); i++)
		;
	return r.failed || failed ? -EBADMSG : collect(r, answers, name, ttl, ret, max);
}
