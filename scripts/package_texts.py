#!/usr/bin/env python3
"""Writes the texts of an installation from what the program says of itself: the manual page, the completion for bash and the
commented configuration file.

package_texts.py man|completion|conf PROGRAM DATE
"""
import datetime
import json
import os
import re
import subprocess
import sys

TOPICS = ['environment', 'formatting', 'exit-codes']


def ask(program, *args):
    environment = {'PATH': os.environ['PATH'], 'HOME': '/'}
    return subprocess.run([program, *args], env=environment, check=True, capture_output=True, text=True).stdout


def commands_of(program):
    return re.findall(r'^  ([a-z-]+) +(.+)$', ask(program, 'help'), re.MULTILINE)


def options_of(program):
    return json.loads(ask(program, 'config', 'show', '--json'))['items']


def roff(text):
    lines = [line.replace('\\', '\\e').replace('-', '\\-') for line in text.split('\n')]
    return '\n'.join('\\&' + line if line[:1] in ('.', "'") else line for line in lines)


def literal(text):
    return f'.nf\n{roff(text.strip(chr(10)))}\n.fi\n'


def man_command(program, name, summary):
    usage, _, rest = ask(program, 'help', name).partition('\n')
    body = rest.strip('\n').partition('\n')[2].strip('\n')
    text = f'.SS {roff(usage.removeprefix("Usage: "))}\n{roff(summary[0].upper() + summary[1:])}.\n'
    return text + (f'.PP\n{literal(body)}' if body else '')


def man_option(option):
    text = f'.TP\n.B {roff(option["name"])}\n{roff(option["help"])}.\n'
    if option['one_of']:
        text += f'One of: {roff(option["one_of"].replace("|", ", "))}.\n'
    if option['default']:
        text += f'Default: {roff(option["default"])}.\n'
    names = option['variable'] + (' or ..._FILE' if option['secret'] else '')
    return text + f'Environment: {roff(names)}' + (f', {roff(option["alias"])}' if option['alias'] else '') + '.\n'


def man(program, date):
    version = ask(program, 'version').split()[-1]
    text = f'.TH OGENT 1 "{date}" "ogent {version}" "Ogent"\n'
    text += '.SH NAME\nogent \\- AI\\-agent platform that you run yourself\n'
    text += '.SH SYNOPSIS\n.B ogent\n.I COMMAND\n.RI [ ARGUMENTS ]\n.SH COMMANDS\n'
    text += ''.join(man_command(program, name, summary) for name, summary in commands_of(program))
    text += ('.SH OPTIONS\nEach is a line\n.I name = value\nof the configuration file, a variable of the environment, or\n'
             '.B \\-\\-name\n.I value\non the command line, the later ones being stronger.\n')
    text += ''.join(man_option(o) for o in options_of(program))
    for topic in TOPICS:
        text += f'.SH {topic.upper().replace("-", " ")}\n{literal(ask(program, "help", topic))}'
    text += ('.SH FILES\n.TP\n.I /etc/ogent/ogent.conf\nThe configuration of the service.\n.TP\n.I /var/lib/ogent\n'
             'The data of the service.\n.SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1)\n')
    return text


def completion(program, date):
    commands = ' '.join(name for name, _ in commands_of(program))
    flags = ' '.join('--' + o['name'].replace('_', '-') for o in options_of(program))
    own = {name: ' '.join(sorted(set(re.findall(r'--[a-z][a-z-]*', ask(program, 'help', name).partition('\n')[0]))))
           for name, _ in commands_of(program)}
    cases = ''.join(f'\t{name}) words="{words}" ;;\n' for name, words in own.items() if words)
    return f'''# Completion of ogent(1) for bash.
_ogent() {{
	local word=${{COMP_WORDS[COMP_CWORD]}} words=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "{commands}" -- "$word")
		return
	fi
	case ${{COMP_WORDS[1]}} in
	help) words="{commands} {' '.join(['config'] + TOPICS)}" ;;
{cases}	esac
	case $word in
	-*) words+=" --config {flags}" ;;
	*) [ "${{COMP_WORDS[1]}}" = config ] && words+=" check show" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	[ "${{#COMPREPLY[@]}}" -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
}}
complete -F _ogent ogent
'''


def conf_option(option):
    text = f'# {option["help"]}.\n'
    if option['one_of']:
        text += f'# One of: {option["one_of"].replace("|", ", ")}.\n'
    if option['secret']:
        text += f'# {option["name"]}_file = PATH takes it from a file.\n'
    if option['name'] == 'data':
        return text + 'data = /var/lib/ogent\n\n'
    return text + f'#{option["name"]} = {option["default"]}'.rstrip() + '\n\n'


def conf(program, date):
    text = '''# The configuration of Ogent's services. Every option is here with its default; remove the # to set one.
# `ogent config check` finds mistakes, `systemctl restart ogent` applies changes. Another data folder needs more than a
# line here: see docs/install.md.

'''
    return text + ''.join(conf_option(o) for o in options_of(program)).rstrip('\n') + '\n'


date = datetime.datetime.fromtimestamp(int(sys.argv[3]), datetime.timezone.utc).strftime('%Y-%m-%d')
sys.stdout.write({'man': man, 'completion': completion, 'conf': conf}[sys.argv[1]](sys.argv[2], date))
