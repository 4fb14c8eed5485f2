import { createContext, useContext } from 'react';

import { allows } from '../api/client';
import type { Me } from '../api/types';

export const UserContext = createContext<Me | null>(null);

export function useUser(): Me {
	const user = useContext(UserContext);
	if (!user) throw new Error('No user is signed in.');
	return user;
}

export function useMay(permission: string): boolean {
	return allows(useUser().permissions, permission);
}
