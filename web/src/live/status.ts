import type { ExecutionStatus } from '../api/types';

export function isEnded(status: ExecutionStatus): boolean {
	return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}
