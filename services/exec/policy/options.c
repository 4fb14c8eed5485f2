#include "policy/options.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define ALWAYS " help version "
#define SUMS "bctzw", ALWAYS "binary check tag text zero ignore-missing quiet status strict warn "
#define GREP                                                                                                       \
	"EFGPe:f:iywxzsvVm:bnHhoqaId:D:rRLlcTZB:A:C:U" DIGITS, ALWAYS                                              \
		"extended-regexp fixed-strings basic-regexp perl-regexp regexp= file= ignore-case no-ignore-case " \
		"word-regexp line-regexp null-data no-messages invert-match max-count= byte-offset "               \
		"line-number line-buffered with-filename no-filename label= only-matching quiet silent "           \
		"binary-files= text directories= devices= recursive dereference-recursive include= exclude= "      \
		"exclude-from= exclude-dir= files-without-match files-with-matches count initial-tab null "        \
		"before-context= after-context= context= group-separator= no-group-separator color? colour? "      \
		"binary unix-byte-offsets "

/* Sorted. What writes, runs, or takes away a program's own fence is left out: sort -o and -T, file -C, -p and -S … */
static const struct option_set sets[] = {
	{"basename", "as:z", ALWAYS "multiple suffix= zero "},
	{"cat", "AbeEnstTuv",
	 ALWAYS "show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting "},
	{"cksum", "a:cl:zw",
	 ALWAYS "algorithm= check length= tag untagged zero ignore-missing quiet status strict warn debug base64 raw "},
	{"cmp", "bi:ln:sv", ALWAYS "print-bytes ignore-initial= verbose bytes= quiet silent "},
	{"column", "tn:O:N:l:E:deH:R:T:W:LJr:i:p:c:o:s:xhVm",
	 ALWAYS "table table-name= table-order= table-columns= table-columns-limit= table-noextreme= "
		"table-noheadings table-header-repeat table-hide= table-right= table-truncate= table-wrap= "
		"table-maxout keep-empty-lines json tree= tree-id= tree-parent= output-width= output-separator= "
		"separator= fillrows "},
	{"comm", "123z", ALWAYS "check-order nocheck-order output-delimiter= total zero-terminated "},
	{"cut", "b:c:d:f:nsz",
	 ALWAYS "bytes= characters= delimiter= fields= complement only-delimited output-delimiter= zero-terminated "},
	{"date", "d:f:I;r:Ru",
	 ALWAYS "date= debug file= iso-8601? resolution reference= rfc-email rfc-2822 rfc-3339= utc universal uct "},
	{"df", "aB:hHiklPt:Tx:v",
	 ALWAYS "all block-size= human-readable si inodes local no-sync output? portability sync total type= "
		"print-type exclude-type= "},
	{"diff", "qsc;C:u;U:enyW:pF:tTrNx:X:S:iEZbwBI:aD:dvL:" DIGITS,
	 ALWAYS "normal brief report-identical-files context? unified? ed rcs side-by-side width= left-column "
		"suppress-common-lines show-c-function show-function-line= label= expand-tabs initial-tab tabsize= "
		"suppress-blank-empty recursive no-dereference new-file unidirectional-new-file "
		"ignore-file-name-case no-ignore-file-name-case exclude= exclude-from= starting-file= from-file= "
		"to-file= ignore-case ignore-tab-expansion ignore-trailing-space ignore-space-change "
		"ignore-all-space ignore-blank-lines ignore-matching-lines= text strip-trailing-cr ifdef= minimal "
		"horizon-lines= speed-large-files color? palette= line-format= old-line-format= new-line-format= "
		"unchanged-line-format= old-group-format= new-group-format= changed-group-format= "
		"unchanged-group-format= "},
	{"dirname", "z", ALWAYS "zero "},
	{"du", "0aB:bcDd:HhkLlmPSst:X:x",
	 ALWAYS "null all apparent-size block-size= bytes total dereference-args max-depth= files0-from= "
		"human-readable inodes dereference count-links no-dereference separate-dirs si summarize threshold= "
		"time? time-style= exclude-from= exclude= one-file-system "},
	{"egrep", GREP},
	{"fgrep", GREP},
	{"file", "bce:f:F:ihklLnN0P:rsvd",
	 ALWAYS "brief checking-printout exclude= exclude-quiet= files-from= separator= mime apple extension mime-type "
		"mime-encoding keep-going list dereference no-dereference no-buffer no-pad print0 parameter= raw "
		"special-files debug "},
	{"fold", "bcsw:" DIGITS, ALWAYS "bytes characters spaces width= "},
	{"free", "bkmghltvs:c:wL",
	 ALWAYS "bytes kilo mega giga tera peta kibi mebi gibi tebi pebi human si lohi total committed wide seconds= "
		"count= line "},
	{"grep", GREP},
	{"head", "c:n:qvz" DIGITS, ALWAYS "bytes= lines= quiet silent verbose zero-terminated "},
	{"id", "agGnruzZ", ALWAYS "context group groups name real user zero "},
	{"jq", "CMSRacef:hjnrsVL:",
	 ALWAYS "arg argjson args ascii-output binary build-configuration color-output compact-output exit-status "
		"from-file indent join-output jsonargs monochrome-output null-input raw-input raw-output raw-output0 "
		"rawfile seq slurp slurpfile sort-keys stream stream-errors tab unbuffered "},
	{"ls", "aAbBcCdDfFgGhHiI:klLmnNopqQrRsStT:uUvw:xXZ1",
	 ALWAYS "all almost-all author escape block-size= ignore-backups color? colour? directory dired classify? "
		"file-type format= full-time group-directories-first no-group human-readable si "
		"dereference-command-line dereference-command-line-symlink-to-dir hide= hyperlink? "
		"indicator-style= inode ignore= kibibytes dereference numeric-uid-gid literal "
		"hide-control-chars show-control-chars quote-name quoting-style= reverse recursive size sort= time= "
		"time-style= tabsize= width= context zero "},
	{"md5sum", SUMS},
	{"nl", "b:d:f:h:i:l:n:ps:v:w:",
	 ALWAYS "body-numbering= section-delimiter= footer-numbering= header-numbering= line-increment= "
		"join-blank-lines= number-format= no-renumber number-separator= starting-line-number= "
		"number-width= "},
	{"nproc", "", ALWAYS "all ignore= "},
	{"od", "A:j:N:S:t:vw;abcdfilosxBDeFhHILOX",
	 ALWAYS
	 "address-radix= endian= skip-bytes= read-bytes= strings? format= output-duplicates width? traditional "},
	{"paste", "d:sz", ALWAYS "delimiters= serial zero-terminated "},
	{"pwd", "LP", ALWAYS "logical physical "},
	{"readlink", "femnqsvz",
	 ALWAYS "canonicalize canonicalize-existing canonicalize-missing no-newline quiet silent verbose zero "},
	{"realpath", "emELPqsz",
	 ALWAYS "canonicalize-existing canonicalize-missing logical physical quiet relative-to= relative-base= strip "
		"no-symlinks zero "},
	{"rev", "0hV", ALWAYS "zero "},
	{"rg", "A:B:C:E:FHILM:NPRST:UVabcd:e:f:g:hij:lm:nopqr:st:uvwx0",
	 ALWAYS
	 "after-context= before-context= context= encoding= fixed-strings with-filename no-filename max-columns= "
	 "no-line-number pcre2 case-sensitive smart-case type= type-not= multiline multiline-dotall text "
	 "byte-offset count count-matches max-depth= maxdepth= regexp= file= glob= iglob= ignore-case threads= "
	 "files files-with-matches files-without-match max-count= line-number only-matching pretty passthru "
	 "quiet replace= sort= sortr= stats unrestricted invert-match word-regexp line-regexp null null-data "
	 "color= colors= column no-column heading no-heading hidden no-hidden json no-json no-ignore "
	 "no-ignore-vcs no-ignore-parent no-ignore-dot no-ignore-global no-config no-messages follow no-follow "
	 "type-list trim vimgrep max-filesize= line-buffered block-buffered crlf dfa-size-limit= engine= "
	 "auto-hybrid-regex context-separator= field-context-separator= field-match-separator= "
	 "include-zero mmap no-mmap no-unicode one-file-system path-separator= regex-size-limit= "
	 "max-columns-preview no-pcre2-unicode binary no-binary ignore-file= debug trace "},
	{"sha1sum", SUMS},
	{"sha224sum", SUMS},
	{"sha256sum", SUMS},
	{"sha384sum", SUMS},
	{"sha512sum", SUMS},
	{"sort", "bdfgiMhnRrVcCk:msS:t:uz",
	 ALWAYS "ignore-leading-blanks dictionary-order ignore-case general-numeric-sort ignore-nonprinting month-sort "
		"human-numeric-sort numeric-sort random-sort random-source= reverse sort= version-sort batch-size= "
		"check? debug files0-from= key= merge stable buffer-size= field-separator= parallel= unique "
		"zero-terminated "},
	{"stat", "Lfc:t", ALWAYS "dereference file-system cached= format= printf= terse "},
	{"strings", "adfn:t:wovVUT:e:s:h" DIGITS,
	 ALWAYS "all data print-file-name bytes= radix= include-all-whitespace target= encoding= unicode= "
		"output-separator= "},
	{"tac", "brs:", ALWAYS "before regex separator= "},
	{"tail", "c:fFn:qs:vz" DIGITS,
	 ALWAYS "bytes= follow? lines= max-unchanged-stats= pid= quiet silent retry sleep-interval= verbose "
		"zero-terminated "},
	{"tree", "adflxL:P:I:NQqpugshDFivtcUrACSnXJH:T:",
	 ALWAYS "gitignore infofile matchdirs noreport charset= filelimit= prune timefmt= si du dirsfirst sort= inodes "
		"device nolinks ignore-case metafirst filesfirst hintro= houtro= fflinks info "},
	{"uname", "asnrvmpio",
	 ALWAYS "all kernel-name nodename kernel-release kernel-version machine processor hardware-platform "
		"operating-system "},
	{"uniq", "cdDf:is:uzw:" DIGITS,
	 ALWAYS "count repeated all-repeated? skip-fields= group? ignore-case skip-chars= unique zero-terminated "
		"check-chars= "},
	{"uptime", "phsV", ALWAYS "pretty since container raw "},
	{"wc", "cmlLw", ALWAYS "bytes chars lines files0-from= max-line-length words total= debug "},
	{"which", "as", " all "},
};

static int compare_name(const void *key, const void *item)
{
	return strcmp(key, ((const struct option_set *)item)->name);
}

const struct option_set *options_of(const char *program)
{
	return bsearch(program, sets, ARRAY_SIZE(sets), sizeof(sets[0]), compare_name);
}

/* Behind a letter: ':' or ';'; 0 = no value, -1 = no such option. */
static int letter_kind(const struct option_set *set, char c)
{
	const char *at = c == ':' || c == ';' ? NULL : strchr(set->letters, c);

	if (!at || !c)
		return -1;
	return at[1] == ':' || at[1] == ';' ? at[1] : 0;
}

/* A cluster. Returns false for one that is not known; *takes: the next argument is its value. */
static bool letters_are_known(const struct option_set *set, struct str arg, bool *takes)
{
	*takes = false;
	for (size_t i = 1; i < arg.n; i++) {
		int kind = letter_kind(set, arg.p[i]);

		if (kind < 0)
			return false;
		if (kind) {
			*takes = kind == ':' && i + 1 == arg.n;
			return true;
		}
	}
	return true;
}

/* Abbreviations too: of two that are known it does not matter which, since the program refuses it. */
static bool long_is_known(const struct option_set *set, struct str arg, bool *takes)
{
	struct str name = str_cut(&arg, '='), all = str_of(set->longs);
	char found = 0;

	name = (struct str){name.p + 2, name.n - 2};
	while (name.n && all.p) {
		struct str item = str_cut(&all, ' ');
		char kind = item.n ? item.p[item.n - 1] : 0;

		if (kind == '=' || kind == '?')
			item.n--;
		if (!item.n || !str_has_prefix(item, name) || (found && item.n > name.n))
			continue;
		found = kind;
		if (item.n == name.n)
			break;
	}
	*takes = found == '=' && !arg.p;
	return found;
}

unsigned options_find_unknown(const struct option_set *set, const struct arg *args, unsigned n, bool permutes,
			      unsigned *ret_end)
{
	unsigned i;

	for (i = 1; i < n; i++) {
		struct str a = args[i].text;
		bool takes = false, is_known;

		if (a.n < 2 || a.p[0] != '-') {
			if (permutes)
				continue;
			break;
		}
		if (str_is(a, "--")) {
			i++;
			break;
		}
		is_known = a.p[1] == '-' ? long_is_known(set, a, &takes) : letters_are_known(set, a, &takes);
		if (!is_known)
			return i;
		i += takes;
	}
	*ret_end = i < n ? i : n;
	return 0;
}
