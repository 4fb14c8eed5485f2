/* xterm.js writes rules into style elements and styles into attributes, which the page's Content-Security-Policy refuses. Sheets
 * and styles that a script sets are allowed: here are elements whose text becomes the rules of such a sheet. */
function styleElement(page: Document): HTMLElement {
	const sheet = new CSSStyleSheet();
	const element = Document.prototype.createElement.call(page, 'template') as HTMLElement;
	let text = '';
	page.adoptedStyleSheets = [...page.adoptedStyleSheets, sheet];
	Object.defineProperty(element, 'textContent', {
		get: () => text,
		set(rules: string) {
			text = rules;
			sheet.replaceSync(rules);
		},
	});
	element.remove = () => {
		page.adoptedStyleSheets = page.adoptedStyleSheets.filter((s) => s !== sheet);
		Element.prototype.remove.call(element);
	};
	return element;
}

function spanElement(page: Document): HTMLElement {
	const element = Document.prototype.createElement.call(page, 'span') as HTMLElement;
	element.setAttribute = (name, value) => {
		if (name === 'style') element.style.cssText = value;
		else Element.prototype.setAttribute.call(element, name, value);
	};
	return element;
}

const maker = (page: Document) => (tag: string): HTMLElement =>
	tag === 'style' ? styleElement(page) : tag === 'span' ? spanElement(page) : Document.prototype.createElement.call(page, tag);

/** Runs it while the page itself makes such elements: not all of xterm.js asks the document that it was given. */
export function withoutStyles(page: Document, run: () => void): void {
	page.createElement = maker(page) as Document['createElement'];
	try {
		run();
	} finally {
		Reflect.deleteProperty(page, 'createElement');
	}
}

/** The document, with elements that need no exception in the policy. */
export function styleFreeDocument(page: Document): Document {
	const make = maker(page);
	return new Proxy(page, {
		get(target, name) {
			if (name === 'createElement') return make;
			const value: unknown = Reflect.get(target, name, target);
			return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
		},
	});
}
