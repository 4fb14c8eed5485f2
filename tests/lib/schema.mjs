// The part of JSON Schema that docs/openapi.yaml uses, as a checker: what of a value is not as the schema says.

const typeOf = (v) => (v === null ? 'null' : Array.isArray(v) ? 'array' : Number.isInteger(v) ? 'integer' : typeof v);
const FORMATS = {
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
  email: /^[^@\s]+@[^@\s]+$/,
};

export class Schemas {
  constructor(document) {
    this.document = document;
  }

  // Follows $ref; what stands beside it is added.
  resolve(node) {
    if (!node?.$ref) return node;
    const { $ref, ...rest } = node;
    const target = $ref.slice(2).split('/').reduce((at, name) => at?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], this.document);
    if (!target) throw new Error(`${$ref} leads nowhere`);
    return { ...this.resolve(target), ...rest };
  }

  // All members that the schema names, through allOf; null when others are allowed or it is not known.
  members(schema) {
    const s = this.resolve(schema);
    if (s.oneOf || s.anyOf || s.additionalProperties || (!s.properties && !s.allOf)) return null;
    const all = new Set(Object.keys(s.properties ?? {}));
    for (const part of s.allOf ?? []) for (const name of this.members(part) ?? []) all.add(name);
    return all;
  }

  // A list of sentences, empty when the value is as the schema says. Members that it does not name count as wrong.
  errors(value, schema, at = 'body', strict = true) {
    const s = this.resolve(schema);
    const wrong = [];
    const type = typeOf(value);
    const types = [s.type ?? []].flat();
    if (types.length && !types.includes(type) && !(type === 'integer' && types.includes('number'))) return [`${at} is ${type}, not ${types}`];
    if (s.enum && !s.enum.includes(value)) wrong.push(`${at} is ${JSON.stringify(value)}, not one of ${s.enum}`);
    if ('const' in s && s.const !== value) wrong.push(`${at} is ${JSON.stringify(value)}, not ${s.const}`);
    if (type === 'string' && FORMATS[s.format] && !FORMATS[s.format].test(value)) wrong.push(`${at} is no ${s.format}: ${value}`);
    if (type === 'integer' && value < (s.minimum ?? -Infinity)) wrong.push(`${at} is below ${s.minimum}`);
    for (const part of s.allOf ?? []) wrong.push(...this.errors(value, part, at, false));
    if (s.oneOf) {
      const each = s.oneOf.map((o) => this.errors(value, o, at));
      const fitting = each.filter((e) => !e.length).length;
      if (fitting !== 1) wrong.push(`${at} fits ${fitting} of ${each.length} forms: ${each.map((e) => e[0]).join('; ')}`);
    }
    if (type === 'array' && s.items) value.forEach((v, i) => wrong.push(...this.errors(v, s.items, `${at}[${i}]`)));
    if (type === 'object') wrong.push(...this.objectErrors(value, s, at, strict));
    return wrong;
  }

  objectErrors(value, s, at, strict) {
    const wrong = [];
    for (const name of s.required ?? []) if (!(name in value)) wrong.push(`${at}.${name} is missing`);
    for (const [name, v] of Object.entries(value)) if (s.properties?.[name]) wrong.push(...this.errors(v, s.properties[name], `${at}.${name}`));
    const known = strict ? this.members(s) : null;
    if (known) for (const name of Object.keys(value)) if (!known.has(name)) wrong.push(`${at}.${name} is not documented`);
    return wrong;
  }
}
