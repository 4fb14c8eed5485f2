import { expect, test } from 'vitest';

import { auditCsv, csvField } from './audit-csv';

test('fields are quoted where they must be, and no formula comes out', () => {
	const table: [string, string][] = [
		['plain', 'plain'],
		['a,b', '"a,b"'],
		['say "x"', '"say ""x"""'],
		['two\nlines', '"two\nlines"'],
		['=1+1', "'=1+1"],
		['@cmd', "'@cmd"],
		['-2', "'-2"],
		['', ''],
	];
	for (const [value, field] of table) expect(csvField(value)).toBe(field);
});

test('a row has all that an event has', () => {
	const event = {
		seq: 7,
		at: '2026-11-23T05:00:00Z',
		event: 'role.changed',
		outcome: 'success' as const,
		actor: { kind: 'user' as const, id: 'u', name: '=Ada' },
		target: 'role:cook',
		address: '127.0.0.1',
		session_id: 's',
		request_id: 'r',
		detail: { added: 'agents.read' },
		hash: 'h',
	};
	expect(auditCsv([event])).toBe(
		'seq,at,event,outcome,actor_kind,actor_id,actor_name,target,address,session_id,request_id,detail,hash\r\n' +
			`7,2026-11-23T05:00:00Z,role.changed,success,user,u,'=Ada,role:cook,127.0.0.1,s,r,"{""added"":""agents.read""}",h\r\n`,
	);
	expect(auditCsv([]).split('\r\n')).toHaveLength(2);
});
