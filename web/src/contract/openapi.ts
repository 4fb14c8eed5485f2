/* The API's contract (OpenAPI 3.1) as the page that shows it needs it. */

export interface Schema {
	$ref?: string;
	type?: string | string[];
	format?: string;
	description?: string;
	enum?: unknown[];
	const?: unknown;
	default?: unknown;
	items?: Schema;
	properties?: Record<string, Schema>;
	required?: string[];
	additionalProperties?: boolean | Schema;
	allOf?: Schema[];
	oneOf?: Schema[];
	anyOf?: Schema[];
	minimum?: number;
	maximum?: number;
	minLength?: number;
	maxLength?: number;
	maxItems?: number;
	pattern?: string;
}

export interface Parameter {
	name: string;
	in: 'path' | 'query' | 'header' | 'cookie';
	required?: boolean;
	description?: string;
	schema?: Schema;
}

interface Media {
	schema?: Schema;
}

export interface Answer {
	status: string;
	description: string;
	types: { type: string; schema: Schema | undefined }[];
}

export interface Operation {
	id: string;
	method: string;
	path: string;
	tag: string;
	summary: string;
	description: string;
	permission: string;
	isPublic: boolean;
	parameters: Parameter[];
	body: { type: string; schema: Schema | undefined; required: boolean } | null;
	answers: Answer[];
}

export interface Contract {
	openapi: string;
	info: { title: string; version: string; description?: string };
	tags?: { name: string; description?: string }[];
	security?: unknown[];
	paths: Record<string, Record<string, unknown>>;
	components?: Record<string, Record<string, unknown>>;
}

const methods = ['get', 'post', 'put', 'patch', 'delete'];
const maxDepth = 8; // of samples and of the fields shown: a schema may hold itself

/** What a reference names. What stands beside `$ref` wins over what it names. */
export function resolve<T extends object>(doc: Contract, node: T): T {
	const seen = new Set<string>();
	let at = node as T & { $ref?: string };
	let beside: Partial<T> = {};
	while (typeof at.$ref === 'string' && !seen.has(at.$ref)) {
		const { $ref, ...rest } = at;
		seen.add($ref);
		beside = { ...(rest as Partial<T>), ...beside };
		const found = $ref
			.replace(/^#\//, '')
			.split('/')
			.reduce<unknown>((part, name) => (part as Record<string, unknown> | undefined)?.[name], doc);
		if (typeof found !== 'object' || found === null) return { ...beside } as T;
		at = found as T;
	}
	return { ...at, ...beside };
}

interface RawOperation {
	operationId?: string;
	tags?: string[];
	summary?: string;
	description?: string;
	security?: unknown[];
	parameters?: Parameter[];
	requestBody?: { required?: boolean; content?: Record<string, Media> };
	responses?: Record<string, { description?: string; content?: Record<string, Media> }>;
	'x-permission'?: string;
}

function answersOf(doc: Contract, raw: RawOperation): Answer[] {
	return Object.entries(raw.responses ?? {}).map(([status, response]) => {
		const { description = '', content = {} } = resolve(doc, response);
		return { status, description, types: Object.entries(content).map(([type, media]) => ({ type, schema: media.schema })) };
	});
}

function operationOf(doc: Contract, path: string, method: string, shared: Parameter[], raw: RawOperation): Operation {
	const body = raw.requestBody ? resolve(doc, raw.requestBody) : null;
	const [type, media] = Object.entries(body?.content ?? {})[0] ?? [];
	return {
		id: raw.operationId ?? `${method} ${path}`,
		method: method.toUpperCase(),
		path,
		tag: raw.tags?.[0] ?? 'other',
		summary: raw.summary ?? '',
		description: raw.description ?? '',
		permission: raw['x-permission'] ?? '',
		isPublic: (raw.security ?? doc.security ?? []).length === 0,
		parameters: [...shared, ...(raw.parameters ?? [])].map((p) => resolve(doc, p)),
		body: body && type ? { type, schema: media?.schema, required: body.required ?? false } : null,
		answers: answersOf(doc, raw),
	};
}

export function operationsOf(doc: Contract): Operation[] {
	return Object.entries(doc.paths).flatMap(([path, item]) =>
		methods
			.filter((method) => item[method])
			.map((method) => operationOf(doc, path, method, (item.parameters as Parameter[] | undefined) ?? [], item[method] as RawOperation)),
	);
}

/** By tag, in the order that the contract names the tags in. */
export function groupsOf(doc: Contract, operations: readonly Operation[]): { tag: string; description: string; operations: Operation[] }[] {
	const tags = [...(doc.tags ?? [])];
	for (const { tag } of operations) if (!tags.some((t) => t.name === tag)) tags.push({ name: tag });
	return tags
		.map(({ name, description = '' }) => ({ tag: name, description, operations: operations.filter((o) => o.tag === name) }))
		.filter((group) => group.operations.length > 0);
}

/** Whether each word stands somewhere in what names the operation. */
export function matches(operation: Operation, words: string): boolean {
	const text = `${operation.method} ${operation.path} ${operation.id} ${operation.summary} ${operation.tag} ${operation.permission}`.toLowerCase();
	return words
		.toLowerCase()
		.split(/\s+/)
		.every((word) => text.includes(word));
}

/** With the parts of `allOf` in one. */
export function flatten(doc: Contract, schema: Schema): Schema {
	const { allOf, ...own } = resolve(doc, schema);
	if (!allOf) return own;
	return [...allOf.map((part) => flatten(doc, part)), own].reduce((all, part) => ({
		...all,
		...part,
		properties: { ...all.properties, ...part.properties },
		required: [...(all.required ?? []), ...(part.required ?? [])],
	}));
}

const alternatives = (schema: Schema): Schema[] | undefined => schema.oneOf ?? schema.anyOf;

/** `string (uuid)`, `array of Command`, `"a" | "b"`. */
export function typeText(doc: Contract, schema: Schema | undefined): string {
	if (!schema) return 'anything';
	const s = flatten(doc, schema);
	const choices = alternatives(s);
	if (choices) return choices.map((choice) => typeText(doc, choice)).join(' | ');
	if (s.const !== undefined) return JSON.stringify(s.const);
	if (s.enum) return s.enum.map((value) => JSON.stringify(value)).join(' | ');
	const name = schema.$ref?.split('/').pop();
	const types = (Array.isArray(s.type) ? s.type : [s.type ?? (s.properties ? 'object' : 'anything')]).map((type) => {
		if (type === 'array') return `array of ${typeText(doc, s.items)}`;
		if (type === 'object' && name) return name;
		return s.format ? `${type} (${s.format})` : type;
	});
	return types.join(' | ');
}

/** The bounds of a value in words. */
export function boundsText(schema: Schema): string {
	const { minimum, maximum, minLength, maxLength, maxItems, pattern } = schema;
	const said = [
		minimum !== undefined && `at least ${minimum}`,
		maximum !== undefined && `at most ${maximum}`,
		minLength !== undefined && `at least ${minLength} characters`,
		maxLength !== undefined && `at most ${maxLength} characters`,
		maxItems !== undefined && `at most ${maxItems} items`,
		pattern !== undefined && `matches ${pattern}`,
		schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
	];
	return said.filter(Boolean).join(', ');
}

export interface FieldRow {
	name: string; // with the names above it: `result.items[].id`
	type: string;
	required: boolean;
	text: string;
}

function rowsBelow(doc: Contract, schema: Schema, prefix: string, above: readonly string[]): FieldRow[] {
	const s = flatten(doc, schema);
	return Object.entries(s.properties ?? {}).flatMap(([name, property]) => {
		const flat = flatten(doc, property);
		const row: FieldRow = {
			name: prefix + name,
			type: typeText(doc, property),
			required: s.required?.includes(name) ?? false,
			text: [flat.description, boundsText(flat)].filter(Boolean).join(' · '),
		};
		return [row, ...nestedRows(doc, property, prefix + name, above)];
	});
}

/* Named schemas are opened once on the way down, so that one that holds itself ends. */
function nestedRows(doc: Contract, schema: Schema, name: string, above: readonly string[]): FieldRow[] {
	const isArray = flatten(doc, schema).type === 'array';
	const inner = isArray ? flatten(doc, schema).items : schema;
	const ref = inner?.$ref ?? '';
	if (!inner || above.length >= maxDepth || (ref && above.includes(ref))) return [];
	return rowsBelow(doc, inner, `${name}${isArray ? '[]' : ''}.`, [...above, ref]);
}

export function fieldsOf(doc: Contract, schema: Schema | undefined): FieldRow[] {
	if (!schema) return [];
	const s = flatten(doc, schema);
	const choices = alternatives(s);
	if (choices) return choices.flatMap((choice) => fieldsOf(doc, choice));
	if (s.type === 'array') return s.items ? rowsBelow(doc, s.items, '[].', []) : [];
	return rowsBelow(doc, schema, '', []);
}

const samples: Record<string, string> = { uuid: '01900000-0000-7000-8000-000000000000', 'date-time': '2026-01-01T00:00:00.000Z', email: 'you@example.org' };

/** A value that fits the schema: what is required, and what has a default. */
export function sampleOf(doc: Contract, schema: Schema | undefined, depth = 0): unknown {
	if (!schema || depth > maxDepth) return null;
	const s = flatten(doc, schema);
	const first = alternatives(s)?.[0];
	if (s.default !== undefined) return s.default;
	if (s.const !== undefined) return s.const;
	if (s.enum) return s.enum[0];
	if (first) return sampleOf(doc, first, depth + 1);
	switch (Array.isArray(s.type) ? s.type[0] : (s.type ?? 'object')) {
		case 'string':
			return samples[s.format ?? ''] ?? '';
		case 'integer':
		case 'number':
			return s.minimum ?? 0;
		case 'boolean':
			return false;
		case 'array':
			return depth === 0 && s.items ? [sampleOf(doc, s.items, depth + 1)] : [];
		default:
			return Object.fromEntries((s.required ?? []).map((name) => [name, sampleOf(doc, s.properties?.[name], depth + 1)]));
	}
}

/** Path, query and header of a request, from what was written for each parameter; empty ones are left out. */
export function addressOf(operation: Operation, values: Record<string, string>): { target: string; headers: Record<string, string> } {
	const headers: Record<string, string> = {};
	const query = new URLSearchParams();
	let path = operation.path;
	for (const { name, in: where } of operation.parameters) {
		const value = values[`${where}:${name}`] ?? '';
		if (where === 'path') path = value === '' ? path : path.replace(`{${name}}`, encodeURIComponent(value));
		else if (value !== '' && where === 'query') query.append(name, value);
		else if (value !== '' && where === 'header') headers[name] = value;
	}
	return { target: query.size ? `${path}?${query}` : path, headers };
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same request for a shell; the token is named, never shown. */
export function curlOf(origin: string, operation: Operation, target: string, headers: Record<string, string>, body: string): string {
	const parts = ['curl', '-X', operation.method, quoted(origin + target)];
	if (!operation.isPublic) parts.push('-H', '"Authorization: Bearer $OGENT_TOKEN"');
	for (const [name, value] of Object.entries(headers)) parts.push('-H', quoted(`${name}: ${value}`));
	if (body) parts.push('-H', quoted(`Content-Type: ${operation.body?.type ?? 'application/json'}`), '--data', quoted(body));
	return parts.join(' ');
}
