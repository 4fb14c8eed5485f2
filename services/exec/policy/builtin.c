/* The policies that are always there. */
#include "policy/rules.h"

/* What the sandbox contains runs without a question. */
#define CONTAINED                                                                                                 \
	"{\"description\":\"Everything runs, since the sandbox contains it: no network, writes in the workspace " \
	"only. "                                                                                                  \
	"Leaving the sandbox needs a person.\",\"default\":\"allow\",\"sandbox\":\"either\"}"

#define READERS                                                                                                      \
	"\"ls\",\"cat\",\"echo\",\"grep\",\"egrep\",\"fgrep\",\"find\",\"wc\",\"head\",\"tail\",\"sort\",\"uniq\","  \
	"\"cut\",\"tr\",\"diff\",\"cmp\",\"comm\",\"file\",\"stat\",\"du\",\"df\",\"pwd\",\"basename\",\"dirname\"," \
	"\"realpath\",\"readlink\",\"md5sum\",\"sha1sum\",\"sha256sum\",\"sha512sum\",\"cksum\",\"nl\",\"od\","      \
	"\"tac\",\"paste\",\"fold\",\"column\",\"rev\",\"seq\",\"printf\",\"test\",\"true\",\"false\",\"date\","     \
	"\"id\",\"whoami\",\"uname\",\"nproc\",\"sleep\",\"jq\",\"rg\",\"tree\",\"sed\",\"expr\",\"strings\","       \
	"\"arch\",\"uptime\",\"free\",\"which\",\"[\",\"hexdump\",\"ps\",\"printenv\",\"xxd\""

#define GUARDED                                                                                                       \
	"{\"description\":\"Programs that only read run; what runs code, writes, or cannot be understood is asked; "  \
	"what "                                                                                                       \
	"leaves the machine or gains rights is denied.\",\"default\":\"ask\",\"invisible\":\"deny\","                 \
	"\"redirect\":{\"workspace\":\"allow\",\"hidden\":\"ask\",\"outside\":\"deny\"},"                             \
	"\"limits\":{\"bytes\":16384,\"words\":2048,\"commands\":64,\"depth\":8},\"rules\":["                         \
	"{\"id\":\"read\",\"verdict\":\"allow\",\"programs\":[" READERS "],"                                          \
	"\"examples\":{\"match\":[\"ls -l src\",\"timeout 5 grep -r x .\"],\"other\":[\"./ls\",\"make\"]}},"          \
	"{\"id\":\"git-read\",\"verdict\":\"allow\",\"programs\":[\"git\"],\"subcommands\":[\"log\",\"status\","      \
	"\"rev-parse\",\"ls-files\",\"describe\"],"                                                                   \
	"\"examples\":{\"match\":[\"git log --oneline\"],\"other\":[\"git push\",\"git -c a.b=c log\"]}},"            \
	"{\"id\":\"workspace\",\"verdict\":\"allow\",\"programs\":[\"mkdir\",\"touch\"],\"args\":{\"lacks\":[\"-m\"," \
	"\"--mode\",\"-r\",\"--reference\"],\"paths\":[\"/workspace\"]},"                                             \
	"\"examples\":{\"match\":[\"mkdir -p a/b\"],\"other\":[\"mkdir /tmp/x\",\"touch ../x\",\"touch .bashrc\"]}}," \
	"{\"id\":\"leave\",\"verdict\":\"deny\",\"programs\":[\"curl\",\"wget\",\"ssh\",\"scp\",\"sftp\",\"nc\","     \
	"\"ncat\",\"socat\",\"telnet\",\"ftp\",\"rsync\"],\"reason\":\"There is no network here.\","                  \
	"\"examples\":{\"match\":[\"curl http://x\",\"env curl x\"],\"other\":[\"echo curl\"]}},"                     \
	"{\"id\":\"rights\",\"verdict\":\"deny\",\"programs\":[\"sudo\",\"su\",\"doas\",\"pkexec\",\"runuser\","      \
	"\"chroot\",\"unshare\",\"nsenter\",\"mount\",\"umount\"],\"reason\":\"Rights cannot be gained here.\","      \
	"\"examples\":{\"match\":[\"sudo ls\",\"ls | sudo cat\"]}}]}"

#define MINIMAL                                                                                                       \
	"{\"description\":\"A short list of programs that read; everything else is denied, since nobody is there to " \
	"be asked.\",\"default\":\"ask\",\"ask\":\"deny\",\"invisible\":\"deny\","                                    \
	"\"redirect\":{\"workspace\":\"allow\",\"hidden\":\"deny\",\"outside\":\"deny\"},"                            \
	"\"limits\":{\"bytes\":16384,\"words\":2048,\"commands\":64,\"depth\":8},\"rules\":["                         \
	"{\"id\":\"read\",\"verdict\":\"allow\",\"programs\":[\"ls\",\"cat\",\"echo\",\"grep\",\"find\",\"wc\","      \
	"\"head\"],"                                                                                                  \
	"\"examples\":{\"match\":[\"ls | wc -l\"],\"other\":[\"tail x\"]}},"                                          \
	"{\"id\":\"git-log\",\"verdict\":\"allow\",\"programs\":[\"git\"],\"subcommands\":[\"log\"],"                 \
	"\"examples\":{\"match\":[\"git log\"],\"other\":[\"git status\"]}},"                                         \
	"{\"id\":\"never\",\"verdict\":\"deny\",\"programs\":[\"rm\",\"curl\",\"wget\",\"ssh\",\"sudo\"],"            \
	"\"examples\":{\"match\":[\"timeout 5 rm x\",\"ls && rm x\"],\"other\":[\"echo rm\"]}}]}"

/* clang-format off */
const struct builtin_policy builtin_policies[] = {
	{"contained", CONTAINED},
	{"guarded", GUARDED},
	{"minimal", MINIMAL},
	{0},
};
/* clang-format on */
