/* The functions of libpq that are used, loaded from the shared library at first use: linked, it and its libraries would
 * cost every role memory that only an agent with PostgreSQL needs. */
#pragma once

#include <libpq-fe.h>

/* X(name): PQ<name> */
#define PQ_FUNCTIONS(X)       \
	X(conninfoParse)      \
	X(conninfoFree)       \
	X(freemem)            \
	X(connectdbParams)    \
	X(finish)             \
	X(status)             \
	X(errorMessage)       \
	X(serverVersion)      \
	X(parameterStatus)    \
	X(setNoticeProcessor) \
	X(transactionStatus)  \
	X(socket)             \
	X(isBusy)             \
	X(consumeInput)       \
	X(getResult)          \
	X(notifies)           \
	X(sendQuery)          \
	X(sendPrepare)        \
	X(sendQueryPrepared)  \
	X(sendQueryParams)    \
	X(setSingleRowMode)   \
	X(resultStatus)       \
	X(resultErrorField)   \
	X(resultErrorMessage) \
	X(cmdStatus)          \
	X(cmdTuples)          \
	X(ntuples)            \
	X(getisnull)          \
	X(getvalue)           \
	X(getlength)          \
	X(ftype)              \
	X(unescapeBytea)      \
	X(clear)

struct pq_api {
#define X(name) typeof(PQ##name) *name;
	PQ_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed or too old. On any thread. */
const struct pq_api *pq_api_load(void);
