/* Variables that change what runs or what programs do. */
#include "policy/programs.h"

/* A file somewhere else, of what takes the name of one below a folder of the system's. */
bool env_value_is_hazard(struct str name, struct str value)
{
	static const char *const places[] = {"LANG", "LANGUAGE", "TZ"};
	bool is_place = str_has_prefix(name, STR("LC_"));

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		is_place |= str_is(name, places[i]);
	if (!is_place || value.n == 0)
		return false;
	return value.p[0] == '/' || value.p[0] == ':' || memmem(value.p, value.n, "..", 2) ||
	       (!str_is(name, "TZ") && memchr(value.p, '/', value.n));
}

/* Of other programs' settings, which name what they run, read or write. */
/* clang-format off */
static const char *const env_hazards[] = {
	"PATH", "ENV", "IFS", "HOME", "SHELL", "PAGER", "EDITOR", "VISUAL", "BROWSER", "CDPATH", "GLOBIGNORE",
	"PS4", "PROMPT_COMMAND", "CC", "CXX", "CPP", "LD", "AR", "AS", "RANLIB", "TERMINFO", "TERMCAP", "LESS",
	"GZIP", "BZIP2", "XZ_OPT", "ZIPOPT", "POSIXLY_CORRECT", "LOCPATH", "GCONV_PATH", "NLSPATH", "MANPATH",
	"ZDOTDIR", "INPUTRC", "HISTFILE", "KUBECONFIG", "DOCKER_HOST", "PS1", "PS2", "PS0", "SHELLOPTS",
	"BASHOPTS", "FPATH", "TMUX", "STY", "RANDFILE", "WGETRC", "NETRC", "MORE", "MANROFFOPT", "MFLAGS",
	"EXINIT", "VIMINIT", "PWD", "OLDPWD", "TZDIR", "TMPDIR", "TEMP", "TMP", "MAGIC", "FAKEROOTKEY",
	"DEBUGINFOD_URLS", "OUTPUT_CHARSET", "SSLKEYLOGFILE", "HOSTALIASES", "LOCALDOMAIN", "RESOLV_HOST_CONF",
	"TEXTDOMAINDIR", "TEXTDOMAIN", "ICU_DATA", "GNUPGHOME", "PGSERVICEFILE", "PGPASSFILE", "PSQLRC", "SCREENRC",
	"MAILCAPS", "MAILCAP", "MAILRC", "MAIL", "TAPE", "RSH", "UNZIP", "ZIP", "ZIPINFO", "XZ_DEFAULTS", "ACKRC",
	"LYNX_CFG", "LDAPRC", "LDAPCONF", "ODBCINI", "ODBCSYSINI", "AUTOM4TE", "AUTOCONF", "M4", "YACC", "LEX", "FC",
	"F77", "NM", "OBJCOPY", "STRIP", "INSTALL", "FCEDIT", "EXECIGNORE", "FIGNORE", "FUNCNEST", "ELINKS_CONFDIR",
	"VIM", "VIMRUNTIME", "MYVIMRC", "XAUTHORITY", "DISPLAY", "WAYLAND_DISPLAY", "GHCRTS", "OCAMLPARAM",
	"OCAMLRUNPARAM", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
};
/* clang-format on */

bool env_is_hazard(struct str name)
{
	static const char *const prefixes[] = {
		"LD_",       "DYLD_",       "GIT_",      "BASH_",     "PYTHON",    "NODE_",       "NPM_",
		"npm_",      "PERL",        "RUBY",      "GEM_",      "BUNDLE_",   "LUA_",        "LESS",
		"JAVA_",     "_JAVA",       "JDK_",      "MAVEN_",    "GRADLE_",   "CARGO_",      "RUST",
		"GO",        "PHP",         "MAKE",      "AWK",       "GAWK",      "OPENSSL_",    "SSL_",
		"CURL_",     "SSH_",        "SUDO_",     "GREP_",     "TAR_",      "RSYNC_",      "RIPGREP_",
		"FZF_",      "MALLOC_",     "GLIBC_",    "XDG_",      "DBUS_",     "SYSTEMD_",    "DENO_",
		"BUN_",      "PIP_",        "UV_",       "CMAKE_",    "QT_",       "GTK_",        "GIO_",
		"G_",        "TCL",         "ERL_",      "ELIXIR_",   "R_",        "JULIA_",      "VIRTUAL_ENV",
		"CONDA",     "HOMEBREW_",   "ASDF_",     "NVM_",      "PYENV_",    "RBENV_",      "CCACHE_",
		"DISTCC_",   "SVN_",        "HG",        "CVS",       "P4",        "ANSIBLE_",    "TF_",
		"AWS_",      "KUBE",        "LLVM_",     "GCOV_",     "GMON_",     "PCPROFILE_",  "SEGFAULT_",
		"MEMUSAGE_", "TERMINFO",    "NCURSES_",  "DOTNET_",   "CORECLR_",  "COMPlus_",    "MONO_",
		"YARN_",     "PNPM_",       "COREPACK_", "VOLTA_",    "ELECTRON_", "TS_NODE_",    "BABEL_",
		"JEST_",     "VITEST_",     "NIX_",      "GUIX_",     "GUILE_",    "OCAML",       "GHC_",
		"STACK_",    "OCTAVE_",     "GST_",      "LIBGL_",    "VK_",       "OCL_",        "GDAL_",
		"MAGICK_",   "FONTCONFIG_", "MYSQL_",    "LDAP",      "SASL_",     "KRB5",        "NSS_",
		"P11_",      "PKCS11_",     "SOFTHSM2_", "LYNX_",     "NVIM_",     "EMACS",       "TMUX_",
		"DIRENV_",   "QUILT_",      "BZR_",      "DEB_",      "DPKG_",     "APT_",        "RPM_",
		"LIBVIRT_",  "VAGRANT_",    "DOCKER_",   "BUILDKIT_", "PODMAN_",   "CONTAINERS_", "SNAP",
		"FLATPAK_",  "TASK",        "STRACE_",   "VALGRIND_", "PERF_",     "LTTNG_",      "BPFTRACE_",
		"FAKEROOT",  "FAKECHROOT_", "PROOT_"};
	static const char *const parts[] = {"PATH",    "PRELOAD", "PAGER",  "EDITOR",  "_OPTIONS", "OPTS",
					    "FLAGS",   "SHELL",   "PROXY",  "proxy",   "CONFIG",   "ASKPASS",
					    "COMMAND", "PLUGIN",  "HOOK",   "STARTUP", "INITRC",   "_EXEC",
					    "_RC",     "MODULE",  "LOADER", "()"};

	for (size_t i = 0; i < ARRAY_SIZE(env_hazards); i++)
		if (str_is(name, env_hazards[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_has_prefix(name, str_of(prefixes[i])))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (memmem(name.p, name.n, parts[i], strlen(parts[i])))
			return true;
	return false;
}
