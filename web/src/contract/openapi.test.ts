import { expect, test } from 'vitest';

import { addressOf, curlOf, fieldsOf, groupsOf, matches, operationsOf, resolve, sampleOf, typeText, type Contract } from './openapi';

const doc: Contract = {
	openapi: '3.1.0',
	info: { title: 'Test', version: '1' },
	tags: [{ name: 'b' }, { name: 'a', description: 'First in the file, second here.' }],
	security: [{ bearer: [] }],
	paths: {
		'/things/{id}': {
			parameters: [{ $ref: '#/components/parameters/Id' }],
			get: { operationId: 'getThing', tags: ['a'], summary: 'Read a thing', security: [], responses: { 200: { $ref: '#/components/responses/Thing' } } },
			post: {
				operationId: 'changeThing',
				tags: ['b'],
				'x-permission': 'things.write',
				parameters: [{ name: 'limit', in: 'query', schema: { type: 'integer' } }],
				requestBody: { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } },
				responses: { default: { description: 'A problem.' } },
			},
		},
	},
	components: {
		parameters: { Id: { name: 'id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } } },
		responses: { Thing: { description: 'The thing.', content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } } },
		schemas: {
			Named: { type: 'object', required: ['name'], properties: { name: { type: 'string', maxLength: 10 } } },
			Thing: {
				allOf: [{ $ref: '#/components/schemas/Named' }],
				type: 'object',
				required: ['kind'],
				properties: {
					kind: { enum: ['x', 'y'] },
					parts: { type: 'array', items: { $ref: '#/components/schemas/Thing' } },
					size: { type: ['integer', 'null'], minimum: 1 },
				},
			},
		},
	},
};
const [get, post] = operationsOf(doc) as [ReturnType<typeof operationsOf>[0], ReturnType<typeof operationsOf>[0]];
const thing = { $ref: '#/components/schemas/Thing' };

test('operations have what their path shares, and come in the order of the tags', () => {
	expect(get).toMatchObject({ method: 'GET', isPublic: true, answers: [{ status: '200', description: 'The thing.' }] });
	expect(post.parameters.map((p) => p.name)).toEqual(['id', 'limit']);
	expect(post).toMatchObject({ isPublic: false, permission: 'things.write', body: { type: 'application/json', required: true } });
	expect(groupsOf(doc, [get, post]).map((g) => g.tag)).toEqual(['b', 'a']);
});

test('a search finds operations by words in any order', () => {
	expect(matches(get, 'thing read')).toBe(true);
	expect(matches(post, 'post things.write')).toBe(true);
	expect(matches(post, 'read')).toBe(false);
});

test('a schema that holds itself is shown and sampled once', () => {
	expect(fieldsOf(doc, thing).map((row) => row.name)).toEqual(['name', 'kind', 'parts', 'parts[].name', 'parts[].kind', 'parts[].parts', 'parts[].size', 'size']);
	expect(sampleOf(doc, thing)).toEqual({ name: '', kind: 'x' });
	expect(typeText(doc, { type: 'array', items: thing })).toBe('array of Thing');
	expect(typeText(doc, doc.components?.schemas?.Thing as never)).toBe('object');
	expect(resolve(doc, { $ref: '#/components/schemas/None' } as object)).toEqual({});
});

test('a request is made from what was written, and the token stays out of the line for a shell', () => {
	const { target, headers } = addressOf(post, { 'path:id': 'a/b', 'query:limit': '5' });
	expect(target).toBe('/things/a%2Fb?limit=5');
	expect(curlOf('http://h', post, target, headers, `{"name":"it's"}`)).toBe(
		`curl -X POST 'http://h/things/a%2Fb?limit=5' -H "Authorization: Bearer $OGENT_TOKEN" -H 'Content-Type: application/json' --data '{"name":"it'\\''s"}'`,
	);
});

