// What there is to search with: collections, and rerankers.
import { type Api, type Collection, isAbort } from "../api";

export interface Served {
  collections: readonly Collection[];
  rerankers: readonly string[];
}

export async function served(api: Api, signal: AbortSignal): Promise<Served> {
  const rerankers = api.models(signal).then(
    (models) => models.filter(({ kind }) => kind === "reranker").map(({ id }) => id),
    (error: unknown) => {
      if (isAbort(error)) throw error;
      return []; // search does without them
    },
  );
  const [collections, known] = await Promise.all([api.collections(signal), rerankers]);
  return { collections, rerankers: known };
}
