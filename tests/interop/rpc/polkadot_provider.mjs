// Talks to a node as a wallet does, over both of polkadot.js's providers, and prints what it got.
//
//   node polkadot_provider.mjs ws://127.0.0.1:9944 http://127.0.0.1:9944 EXTRINSIC
//
// Between two subscriptions it asks for `system_name` twenty times, so that answers and
// notifications mix on one connection.

import { HttpProvider, WsProvider } from '@polkadot/rpc-provider';

const [wsUrl, httpUrl, extrinsic] = process.argv.slice(2);
const seen = {};

async function errorOf (promise) {
  try {
    await promise;
  } catch (error) {
    return { code: error.code, data: error.data, message: error.message };
  }
  throw new Error('the call should have failed');
}

function take (provider, type, method, params, count) {
  return new Promise((resolve, reject) => {
    const values = [];
    let id;
    provider.subscribe(type, method, params, (error, value) => {
      if (error) {
        reject(error);
        return;
      }
      values.push(value);
      if (values.length === count) {
        resolve({ id, values });
      }
    }).then((given) => { id = given; }, reject);
  });
}

const ws = new WsProvider(wsUrl, false);
await ws.connect();
await ws.isReady;
const heads = take(ws, 'chain_newHead', 'chain_subscribeNewHeads', [], 3);
seen.names = await Promise.all(Array.from({ length: 20 }, () => ws.send('system_name', [])));
seen.best = await ws.send('chain_getHeader', []);
seen.wsError = await errorOf(ws.send('chain_getHeader', ['0x00']));
seen.heads = (await heads).values.map(({ number }) => number);
seen.unsubscribed = await ws.unsubscribe(
  'chain_newHead', 'chain_unsubscribeNewHeads', (await heads).id
);
const finals = await take(ws, 'chain_finalizedHead', 'chain_subscribeFinalizedHeads', [], 1);
seen.final = finals.values[0].number;
const updates = await take(
  ws, 'author_extrinsicUpdate', 'author_submitAndWatchExtrinsic', [extrinsic], 3
);
seen.updates = updates.values;
await ws.disconnect();

const http = new HttpProvider(httpUrl);
seen.httpName = await http.send('system_name', []);
seen.httpBlock = await http.send('chain_getBlock', []);
seen.httpError = await errorOf(http.send('author_submitExtrinsic', ['0x676172626c6564']));

console.log(JSON.stringify(seen));
process.exit(0);
