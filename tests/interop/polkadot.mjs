// Keys, addresses and account files as polkadot.js makes and reads them.
//
//   npm install                 once, in this folder
//   npm run vectors             writes ../vectors/polkadot_js.json anew
//   node polkadot.mjs open      stdin {file, password, message} -> stdout {public, signature}
//   node polkadot.mjs create    stdin {uri, password, meta} -> stdout an account file

import { readFileSync } from 'node:fs';
import { Keyring } from '@polkadot/keyring';
import { stringToU8a, u8aConcat, u8aToHex } from '@polkadot/util';
import {
  cryptoWaitReady, encodeAddress, jsonEncryptFormat, mnemonicToMiniSecret,
  naclEncrypt, scryptEncode, scryptToU8a
} from '@polkadot/util-crypto';
import { entropyToMnemonic } from '@polkadot/util-crypto/mnemonic/bip39';

const GENERIC_PREFIX = 42;
const DEV_PHRASE = 'bottom drive obey lake curtain smoke basket hold race lonely fit walk';

const hex = (bytes) => u8aToHex(bytes).slice(2);
const keyring = () => new Keyring({ type: 'ed25519', ss58Format: GENERIC_PREFIX });

function addresses () {
  const accounts = [new Uint8Array(32), new Uint8Array(32).fill(255), keyring().addFromUri('//Alice').publicKey];
  const prefixes = [0, 1, 2, 42, 45, 48, 63, 64, 65, 127, 128, 255, 256, 1284, 16383];
  return accounts.flatMap((account) => prefixes.map((prefix) => ({
    prefix, account: hex(account), address: encodeAddress(account, prefix)
  })));
}

function uris () {
  const texts = [
    '//Alice', '//Bob', '//Charlie', '//Dave', '//Eve', '//Ferdie', '//Alice//stash',
    DEV_PHRASE, `${DEV_PHRASE}//0`, `${DEV_PHRASE}//1`, `${DEV_PHRASE}//007`,
    `${DEV_PHRASE}//18446744073709551615`, `${DEV_PHRASE}//polkadot//0//validator`,
    `${DEV_PHRASE}//${'long'.repeat(7)}xyz`, `${DEV_PHRASE}//${'long'.repeat(8)}`,
    `${DEV_PHRASE}//${'long'.repeat(40)}`, `${DEV_PHRASE}//ключ`,
    `${DEV_PHRASE}///secret`, `${DEV_PHRASE}//Alice///with / slashes // in it`,
    `${DEV_PHRASE}///пароль`,
    `0x${'9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'}`,
    `0x${'9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'}//stash//2`,
    'legal winner thank year wave sausage worth useful legal winner thank yellow//Alice',
    'zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote///pass'
  ];
  return texts.map((uri) => {
    const pair = keyring().addFromUri(uri);
    return { uri, public: hex(pair.publicKey), address: pair.address };
  });
}

function mnemonics () {
  const entropies = [16, 20, 24, 28, 32].flatMap((length) => [
    new Uint8Array(length), new Uint8Array(length).fill(127), new Uint8Array(length).fill(255),
    Uint8Array.from({ length }, (_, index) => index * 37 + length)
  ]);
  return entropies.flatMap((entropy) => ['', 'TREZOR'].map((password) => {
    const phrase = entropyToMnemonic(entropy);
    return { entropy: hex(entropy), phrase, password, seed: hex(mnemonicToMiniSecret(phrase, password)) };
  }));
}

function create ({ uri, password, meta }) {
  return JSON.stringify(keyring().addFromUri(uri, meta).toJson(password));
}

// The same file with scrypt parameters that polkadot.js wrote before it raised them.
function createWithOlderParameters ({ uri, password, meta }, params) {
  const pair = keyring().addFromUri(uri, meta);
  const stretched = scryptEncode(password, undefined, params);
  const { encrypted, nonce } = naclEncrypt(pair.encodePkcs8(), stretched.password.subarray(0, 32));
  const encoded = u8aConcat(scryptToU8a(stretched.salt, params), nonce, encrypted);
  return JSON.stringify({
    ...jsonEncryptFormat(encoded, ['pkcs8', 'ed25519'], true), address: pair.address, meta
  });
}

function accountFiles () {
  const meta = { genesisHash: `0x${'ab'.repeat(32)}`, name: 'Alice ✓', tags: [], whenCreated: 1700000000000 };
  const older = { N: 1 << 15, p: 1, r: 8 };
  const wanted = [
    { uri: '//Alice', password: 'correct horse' },
    { uri: '//Bob', password: 'пароль', older },
    { uri: '//Charlie', password: '0x1234', older },
    { uri: '//Dave', password: '0x123', older }
  ];
  return wanted.map(({ uri, password, older }) => ({
    uri,
    password,
    file: older ? createWithOlderParameters({ uri, password, meta }, older) : create({ uri, password, meta })
  }));
}

function open ({ file, password, message }) {
  const pair = keyring().addFromJson(JSON.parse(file));
  pair.decodePkcs8(password);
  return JSON.stringify({
    address: pair.address, public: hex(pair.publicKey), meta: pair.meta,
    signature: hex(pair.sign(stringToU8a(message)))
  });
}

await cryptoWaitReady();
const command = process.argv[2];
if (command === 'vectors') {
  console.log(JSON.stringify({
    source: 'tests/interop/polkadot.mjs, @polkadot/keyring 14.0.3',
    addresses: addresses(), uris: uris(), mnemonics: mnemonics(), account_files: accountFiles()
  }, null, 2));
} else if (command === 'open') {
  console.log(open(JSON.parse(readFileSync(0, 'utf8'))));
} else if (command === 'create') {
  console.log(create(JSON.parse(readFileSync(0, 'utf8'))));
} else {
  console.error('usage: node polkadot.mjs vectors | open | create');
  process.exit(2);
}
