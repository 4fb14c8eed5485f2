#include "agent/models/estimate.h"

#include <ctype.h>

#define FRAME 6 /* tokens around a message or call */

/* In hundredths of a token. Letters come about four to a token, digits and signs fewer, other scripts one or two. */
static int weight(unsigned char c)
{
	if (c >= 0xf0)
		return 170;
	if (c >= 0xe0)
		return 110;
	if (c >= 0xc0)
		return 70;
	if (c >= 0x80)
		return 0; /* the rest of a character */
	if (isalpha(c))
		return 24;
	if (isspace(c))
		return 10;
	return isdigit(c) ? 42 : 50;
}

int64_t estimate_text(struct str text)
{
	int64_t sum = 0;

	for (size_t i = 0; i < text.n; i++)
		sum += weight((unsigned char)text.p[i]);
	return (sum + 99) / 100;
}

/* Anthropic counts width x height / 750, after it made the image as small as 1,568 pixels on its longer side; OpenAI's
 * and Google's tiles come to less. */
static int64_t estimate_image(const struct chat_image *i)
{
	double side = MAX(i->width, i->height), scale = side > 1568 ? 1568 / side : 1;

	return 100 + (int64_t)(i->width * scale * i->height * scale / 750);
}

int64_t estimate_message(const struct chat_message *m)
{
	int64_t n = FRAME + estimate_text(m->content);

	for (size_t i = 0; i < m->n_images; i++)
		n += FRAME + estimate_image(&m->images[i]);
	for (size_t i = 0; i < m->n_calls; i++)
		n += FRAME + estimate_text(str_of(m->calls[i].name)) + estimate_text(m->calls[i].arguments);
	return m->opaque ? n + (int64_t)strlen(m->opaque) / 4 : n;
}

int64_t estimate_request(const struct chat_request *r)
{
	int64_t n = FRAME + estimate_text(str_of(r->instructions));
	struct chat_message *m;

	for (size_t i = 0; i < r->n_tools; i++)
		n += FRAME + estimate_text(str_of(r->tools[i]->description)) +
		     estimate_text(str_of(r->tools[i]->parameters));
	list_foreach (m, r->messages, struct chat_message, link)
		n += estimate_message(m);
	return n;
}
