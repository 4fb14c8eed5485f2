/* permessage-deflate (RFC 7692) without context takeover on either side: a message is compressed and inflated on its
 * own, so that no connection keeps a window of 32 KB or more, and one compressed frame serves all who get the same
 * event. One compressor and one inflater serve a whole thread. */
#pragma once

#include "base/buf.h"

#define WS_DEFLATE_FLOOR 512 /* bytes: shorter messages are sent as they are */
#define WS_DEFLATE_ANSWER 128

/* offers: the client's Sec-WebSocket-Extensions, several fields joined by commas. Takes the first offer that is well
 * formed: ret_window is the window the client can hold (8 to 15 bits), `answer` the field's value to send back. False:
 * none is; the connection goes without compression (RFC 7692 section 5.1). */
bool ws_deflate_negotiate(struct str offers, uint8_t *ret_window, char answer[static WS_DEFLATE_ANSWER]);

/* Appends the compressed form of a message to `out`. False: it is not shorter, or too long for the client's window
 * (nothing that is no longer than the window can point behind it, so one form fits every window); send it as it is. */
bool ws_deflate(struct str message, unsigned window, struct buf *out);
/* Appends the message. Returns 0, 1007 (it is not deflated data, or cut) or 1009 (it is longer than max). */
int ws_inflate(struct str data, size_t max, struct buf *out);
