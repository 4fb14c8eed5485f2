#include "policy/wrappers.h"

#include <string.h>

#define DIGITS "0123456789"

/* Whose options are known to change nothing about which program runs. Sorted. */
static const struct wrapper wrappers[] = {
	{.set = {"choom", "n:", " adjust= "}, .bad = {"-p", "--pid"}},
	{.set = {"chrt", "abdfiomrRvT:P:D:",
		 " all-tasks batch deadline fifo idle max other rr reset-on-fork verbose sched-runtime= sched-period= "
		 "sched-deadline= "},
	 .positional = 1,
	 .shape = DIGITS,
	 .bad = {"-p", "--pid"}},
	{.set = {"command", "pvV", " "}, .bad = {"-v", "-V"}},
	{.set = {"env", "i0vu:C:a:S:",
		 " ignore-environment null debug unset= chdir= argv0= split-string= default-signal? block-signal? "
		 "ignore-signal? list-signal-handling "},
	 .has_env = true,
	 /* -a: coreutils 9.5; where one program is many, it is what it is called as. */
	 .bad = {"-S", "--split-string", "-C", "--chdir", "-a", "--argv0"}},
	{.set = {"exec", "cla:", " "}},
	{.set = {"ionice", "tc:n:", " class= classdata= ignore "}, .bad = {"-p", "--pid"}},
	{.set = {"nice", "n:" DIGITS, " adjustment= "}},
	{.set = {"nohup", "", " "}},
	{.set = {"numactl", "aN:C:m:p:P:i:w:ltb",
		 " all interleave= weighted-interleave= preferred= preferred-many= membind= cpunodebind= physcpubind= "
		 "localalloc balancing "}},
	{.set = {"setsid", "cfw", " ctty fork wait "}},
	{.set = {"stdbuf", "i:o:e:", " input= output= error= "}},
	{.set = {"taskset", "ac", " all-tasks cpu-list "},
	 .positional = 1,
	 .shape = DIGITS "abcdefABCDEFxX,:-",
	 .bad = {"-p", "--pid"}},
	{.set = {"time", "apqvf:o:", " append portability quiet verbose format= output= "}, .bad = {"-o", "--output"}},
	{.set = {"timeout", "fpvk:s:", " foreground preserve-status verbose kill-after= signal= "},
	 .positional = 1,
	 .shape = DIGITS ".smhd"},
};

#define VAGUE(program)                              \
	{                                           \
		.set = {program}, .is_vague = true, \
	}

/* Programs of class code that run the one in their arguments all the same: it is judged too. */
static const struct wrapper runners[] = {
	VAGUE("aa-exec"),
	VAGUE("bind"),
	VAGUE("bwrap"),
	VAGUE("busybox"),
	VAGUE("catatonit"),
	VAGUE("cgexec"),
	{.set = {"chroot", "", " userspec= groups= skip-chdir "}, .positional = 1},
	VAGUE("chpst"),
	VAGUE("chronic"),
	VAGUE("compgen"),
	VAGUE("complete"),
	VAGUE("cpulimit"),
	VAGUE("daemonize"),
	VAGUE("dbus-launch"),
	{.set = {"dbus-run-session", "", " config-file= dbus-daemon= "}},
	{.set = {"doas", "nsLa:C:u:", " "}, .has_env = true},
	VAGUE("dumb-init"),
	VAGUE("entr"),
	{.set = {"fakeroot", "i:s:l:b:f:u", " lib= faked= unknown-is-real "}},
	VAGUE("faketime"),
	VAGUE("firejail"),
	{.set = {"flock", "sxenouFvw:E:",
		 " shared exclusive unlock nonblock nb timeout= conflict-exit-code= close no-fork verbose fcntl "},
	 .positional = 1},
	VAGUE("gdbserver"),
	VAGUE("gosu"),
	VAGUE("hyperfine"),
	VAGUE("ifne"),
	VAGUE("linux32"),
	VAGUE("linux64"),
	{.set = {"ltrace", "bcCfhiLrStTVa:A:e:D:F:l:n:o:p:s:u:w:x:", " "}},
	VAGUE("mapfile"),
	VAGUE("multitime"),
	{.set = {"nsenter", "m;u;i;n;p;C;U;T;r;w;W;t:S:G:aFeZ", " all target= setuid= setgid= no-fork "}},
	VAGUE("parallel"),
	{.set = {"pkexec", "u:", " user= disable-internal-agent keep-cwd "}},
	VAGUE("prlimit"),
	VAGUE("proot"),
	VAGUE("readarray"),
	VAGUE("rlwrap"),
	VAGUE("run-one"),
	{.set = {"runuser", "mplPu:g:G:w:s:", " user= group= supp-group= login preserve-environment shell= pty "}},
	VAGUE("setarch"),
	VAGUE("setlock"),
	{.set = {"setpriv", "d",
		 " reuid= regid= ruid= euid= rgid= egid= groups= inh-caps= ambient-caps= bounding-set= securebits= "
		 "pdeathsig= selinux-label= apparmor-profile= clear-groups keep-groups init-groups no-new-privs nnp "
		 "reset-env "}},
	VAGUE("setuidgid"),
	VAGUE("sg"),
	VAGUE("softlimit"),
	{.set = {"ssh", "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:p:Q:R:S:W:w:", " "}, .positional = 1},
	VAGUE("ssh-agent"),
	{.set = {"sshpass", "ep:f:d:P:", " "}},
	VAGUE("start-stop-daemon"),
	{.set = {"strace", "a:b:e:I:o:O:p:P:s:S:u:U:E:X:AcCdDfFikNnqrtTvwxyYzZ", " "}},
	VAGUE("su-exec"),
	{.set = {"sudo", "AbBEHiKklNnPSsVvC:D:g:h:p:R:r:T:t:U:u:",
		 " user= group= host= prompt= chdir= non-interactive login shell preserve-env? set-home stdin "},
	 .has_env = true},
	VAGUE("systemd-inhibit"),
	{.set = {"systemd-run", "p:E:u:H:M:tPqGrdS",
		 " unit= property= setenv= uid= gid= nice= working-directory= slice= description= user system scope "
		 "pty "
		 "pipe quiet wait collect no-block remain-after-exit same-dir service-type= "}},
	VAGUE("tini"),
	{.set = {"torify", "", " "}},
	{.set = {"torsocks", "", " "}},
	VAGUE("toybox"),
	VAGUE("trickle"),
	VAGUE("unbuffer"),
	{.set = {"unshare", "m;u;i;n;p;U;C;T;rcfS:G:R:w:",
		 " mount? uts? ipc? net? pid? user? cgroup? time? fork map-root-user map-current-user root= wd= "
		 "setuid= "
		 "setgid= mount-proc? kill-child? "}},
	VAGUE("valgrind"),
	{.set = {"watch", "n:q:bcdegprtxw",
		 " interval= beep color differences? errexit exec no-title precise no-wrap chgexit equexit= "}},
	{.set = {"xargs", "0a:d:E:e;I:i;L:l;n:P:prs:txo",
		 " null arg-file= delimiter= eof? replace? max-lines? max-args= max-procs= interactive "
		 "process-slot-var= max-chars= no-run-if-empty verbose show-limits exit open-tty "}},
	/* Few write these in front of a program that is forbidden; but then it is found. */
	VAGUE("abduco"),
	VAGUE("aoss"),
	VAGUE("apitrace"),
	VAGUE("authbind"),
	VAGUE("autossh"),
	VAGUE("aws-vault"),
	VAGUE("calife"),
	VAGUE("capsh"),
	VAGUE("catchsegv"),
	VAGUE("cgclassify"),
	VAGUE("coresched"),
	VAGUE("daemon"),
	VAGUE("datefudge"),
	VAGUE("dbclient"),
	VAGUE("direnv"),
	VAGUE("doppler"),
	VAGUE("dotenv"),
	VAGUE("dtach"),
	VAGUE("eatmydata"),
	VAGUE("envchain"),
	VAGUE("envdir"),
	VAGUE("envuidgid"),
	VAGUE("expect"),
	VAGUE("fghack"),
	VAGUE("gamemoderun"),
	VAGUE("gdb"),
	VAGUE("heaptrack"),
	VAGUE("i386"),
	VAGUE("i486"),
	VAGUE("i586"),
	VAGUE("i686"),
	VAGUE("infisical"),
	VAGUE("k5start"),
	VAGUE("kcov"),
	VAGUE("kstart"),
	VAGUE("lckdo"),
	VAGUE("mangohud"),
	VAGUE("mispipe"),
	VAGUE("mosh"),
	VAGUE("niceload"),
	VAGUE("nix-shell"),
	VAGUE("nocache"),
	VAGUE("npx"),
	VAGUE("nq"),
	VAGUE("openvt"),
	VAGUE("optirun"),
	VAGUE("padsp"),
	VAGUE("pagsh"),
	VAGUE("perf"),
	VAGUE("pgrphack"),
	VAGUE("please"),
	VAGUE("prime-run"),
	VAGUE("primusrun"),
	VAGUE("proxychains"),
	VAGUE("proxychains4"),
	VAGUE("rr"),
	VAGUE("rsh"),
	VAGUE("run0"),
	VAGUE("schedtool"),
	VAGUE("screen"),
	VAGUE("script"),
	VAGUE("sem"),
	VAGUE("stdin-open"),
	VAGUE("sudo-rs"),
	VAGUE("super"),
	VAGUE("timelimit"),
	VAGUE("tmux"),
	VAGUE("tsocks"),
	VAGUE("uclampset"),
	VAGUE("uname26"),
	VAGUE("vglrun"),
	VAGUE("with-lock-ex"),
	VAGUE("x-terminal-emulator"),
	VAGUE("x86_64"),
	VAGUE("xterm"),
	VAGUE("xvfb-run"),
	/* What the dynamic linker is called as; it runs the program in its arguments. */
	{.set = {"ld.so", "",
		 " library-path= preload= argv0= audit= inhibit-cache inhibit-rpath= glibc-hwcaps-prepend= "
		 "glibc-hwcaps-mask= "}},
};

static const struct wrapper *find(const struct wrapper *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].set.name, name) == 0)
			return &list[i];
	return NULL;
}

const struct wrapper *wrapper_of(const char *name)
{
	return find(wrappers, ARRAY_SIZE(wrappers), name);
}

const struct wrapper *runner_of(const char *name)
{
	return find(runners, ARRAY_SIZE(runners), name);
}
