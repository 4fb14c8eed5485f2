const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]*[0-~])/g;
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

/** Output as a terminal would have left it on a plain page: no escape sequences, and a carriage return writes over its line. */
export function terminalText(text: string): string {
	let plain = text.includes('\u001b') ? text.replace(escapes, '') : text;
	if (plain.includes('\r'))
		plain = plain
			.replace(/\r+\n/g, '\n')
			.split('\n')
			.map((line) => (line.includes('\r') ? overwrite(line) : line))
			.join('\n');
	return plain.replace(controls, '');
}

function overwrite(line: string): string {
	return line.split('\r').reduce((shown, part) => part + shown.slice(part.length), '');
}
