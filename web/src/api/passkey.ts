/* Passkeys: between the JSON that the server speaks and what the browser wants. */

const fromText = (text: string) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const toText = (bytes: ArrayBuffer) =>
	btoa(String.fromCharCode(...new Uint8Array(bytes)))
		.replaceAll('+', '-')
		.replaceAll('/', '_')
		.replace(/=+$/, '');

/** Browsers have passkeys on https and on this machine only. */
export const hasPasskeys = () => typeof PublicKeyCredential !== 'undefined' && window.isSecureContext;

const listOf = (list: unknown) => (list as { id: string }[]).map(({ id }) => ({ type: 'public-key' as const, id: fromText(id) }));

/** What a person reads when it did not work. */
function explain(error: unknown): Error {
	if (error instanceof DOMException && error.name === 'NotAllowedError') return new Error('Nothing was confirmed. Try again, or choose another way.');
	if (error instanceof DOMException && error.name === 'InvalidStateError') return new Error('This passkey is registered already.');
	return error instanceof Error ? error : new Error('The passkey did not work.');
}

/** Asks for a new passkey. options: PasskeyOptions.public_key. */
export async function makePasskey(options: Record<string, unknown>): Promise<Record<string, unknown>> {
	const user = options.user as { id: string; name: string; displayName: string };
	const publicKey = {
		...options,
		challenge: fromText(options.challenge as string),
		user: { ...user, id: fromText(user.id) },
		excludeCredentials: listOf(options.excludeCredentials),
	} as unknown as PublicKeyCredentialCreationOptions;
	const made = (await navigator.credentials.create({ publicKey }).catch((e: unknown) => {
		throw explain(e);
	})) as PublicKeyCredential;
	const response = made.response as AuthenticatorAttestationResponse;
	return {
		id: made.id,
		type: made.type,
		response: { clientDataJSON: toText(response.clientDataJSON), attestationObject: toText(response.attestationObject) },
	};
}

/** Asks for an answer of a passkey that is there. */
export async function usePasskey(options: Record<string, unknown>): Promise<Record<string, unknown>> {
	const publicKey = {
		...options,
		challenge: fromText(options.challenge as string),
		allowCredentials: listOf(options.allowCredentials),
	} as unknown as PublicKeyCredentialRequestOptions;
	const given = (await navigator.credentials.get({ publicKey }).catch((e: unknown) => {
		throw explain(e);
	})) as PublicKeyCredential;
	const response = given.response as AuthenticatorAssertionResponse;
	return {
		id: given.id,
		type: given.type,
		response: {
			clientDataJSON: toText(response.clientDataJSON),
			authenticatorData: toText(response.authenticatorData),
			signature: toText(response.signature),
			...(response.userHandle ? { userHandle: toText(response.userHandle) } : {}),
		},
	};
}
