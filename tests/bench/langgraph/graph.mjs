// The peer's agent: one call of the same model.
import { ChatOpenAI } from '@langchain/openai';
import { MessagesAnnotation, StateGraph } from '@langchain/langgraph';

const model = new ChatOpenAI({ model: 'ogent-demo', apiKey: 'none', streaming: true, configuration: { baseURL: process.env.MODEL_URL } });
const agent = async (state) => ({ messages: [await model.invoke(state.messages)] });

export const graph = new StateGraph(MessagesAnnotation).addNode('agent', agent).addEdge('__start__', 'agent').addEdge('agent', '__end__').compile();
