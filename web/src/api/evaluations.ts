import { queryOptions } from '@tanstack/react-query';

import { api, unwrap } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type Evaluation = Schemas['Evaluation'];
export type EvaluationCase = Schemas['EvaluationCase'];
export type EvaluationGrader = Schemas['EvaluationGrader'];
export type EvaluationRun = Schemas['EvaluationRun'];
export type EvaluationRow = Schemas['EvaluationRow'];
export type ComparedCase = Schemas['EvaluationComparedCase'];

const busyMs = 2_000;
const idleMs = 15_000;
/** Cases and rows that a page shows; files have all. */
export const mostShown = 200;

export const isBusy = (run: EvaluationRun): boolean => run.status === 'running' || run.rows.running + run.rows.judging > 0;

export const evaluationsQuery = queryOptions({
	queryKey: ['evaluations'],
	queryFn: async ({ signal }) => (await unwrap(api.GET('/api/evaluations', { signal, params: { query: { limit: 200 } } }))).items,
});

export const evaluationQuery = (id: string) =>
	queryOptions({
		queryKey: ['evaluations', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/evaluations/{id}', { signal, params: { path: { id } } })),
	});

export const casesQuery = (id: string) =>
	queryOptions({
		queryKey: ['evaluations', id, 'cases'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/evaluations/{id}/cases', { signal, params: { path: { id }, query: { limit: mostShown } } }))).items,
	});

export const evaluationRunsQuery = (id: string) =>
	queryOptions({
		queryKey: ['evaluations', id, 'runs'],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/evaluations/{id}/runs', { signal, params: { path: { id }, query: { limit: 50 } } }))).items,
		refetchInterval: (query) => (query.state.data?.some(isBusy) ? busyMs : idleMs),
	});

export const evaluationRunQuery = (id: string) =>
	queryOptions({
		queryKey: ['evaluation-runs', id],
		queryFn: ({ signal }) => unwrap(api.GET('/api/evaluations/runs/{id}', { signal, params: { path: { id } } })),
		refetchInterval: (query) => (query.state.data && isBusy(query.state.data) ? busyMs : idleMs),
	});

export type Passed = 'true' | 'false' | 'open' | 'all';

export const evaluationRowsQuery = (id: string, passed: Passed, isLive: boolean) =>
	queryOptions({
		/* Once it is over they are read once more. */
		queryKey: ['evaluation-runs', id, 'rows', passed, isLive],
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/evaluations/runs/{id}/rows', { signal, params: { path: { id }, query: { limit: mostShown, passed } } }))).items,
		refetchInterval: isLive ? busyMs : false,
	});

export const comparisonQuery = (id: string, other: string) =>
	queryOptions({
		queryKey: ['evaluation-runs', id, 'comparison', other],
		/* Without a format it is JSON, not a file. */
		queryFn: async ({ signal }) => (await unwrap(api.GET('/api/evaluations/runs/{id}/comparison', { signal, params: { path: { id }, query: { with: other } } }))) as Schemas['EvaluationComparison'],
	});
