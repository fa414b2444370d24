// Drives ImapFlow, which enables IMAP4rev2 by itself, compresses, and keeps a mailbox in sync by QRESYNC and IDLE.
// Arguments: port, user, certificate.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.env.NODE_MODULES_OF ?? import.meta.url);
const { ImapFlow } = require('imapflow');
const [port, user, certificate] = process.argv.slice(2);

const connect = async (more = {}) => {
  const client = new ImapFlow({
    host: 'localhost', port: Number(port), secure: true, auth: { user, pass: 'secret' },
    tls: { ca: readFileSync(certificate) }, logger: false, ...more,
  });
  await client.connect();
  return client;
};

const text = (n, body) => `From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: number ${n}\r\n`
  + `Date: Mon, 02 Nov 2026 10:00:0${n} +0100\r\nMessage-ID: <${n}@example.org>\r\nMIME-Version: 1.0\r\n`
  + `Content-Type: multipart/alternative; boundary="=_b"\r\n\r\n--=_b\r\nContent-Type: text/plain; charset=UTF-8\r\n`
  + `Content-Transfer-Encoding: base64\r\n\r\n${Buffer.from(body).toString('base64')}\r\n--=_b\r\n`
  + `Content-Type: text/html\r\n\r\n<p>${n}</p>\r\n--=_b--\r\n`;

const collect = async (rows) => { const all = []; for await (const row of rows) all.push(row); return all; };

const client = await connect();
assert.ok(client.enabled.has('IMAP4REV2'), 'it enables IMAP4rev2');
assert.ok(client.capabilities.has('OBJECTID'));

// Mailboxes, with names beyond ASCII.
assert.equal((await client.mailboxCreate(['Entwürfe', '日本'])).created, true);
const list = await client.list({ statusQuery: { messages: true, unseen: true, uidNext: true } });
const inbox = list.find((box) => box.path === 'INBOX');
assert.equal(inbox.status.messages, 0);
assert.ok(list.some((box) => box.path === 'Entwürfe/日本'));
assert.equal(list.find((box) => box.path === 'Trash').specialUse, '\\Trash');

// Messages: APPENDUID, flags, date, object ids.
for (let n = 1; n <= 4; n++) {
  const added = await client.append('INBOX', text(n, `Grüße ${n}`), n === 1 ? ['\\Seen'] : [], new Date('2026-11-02T09:00:00Z'));
  assert.equal(added.uid, n);
}
const lock = await client.getMailboxLock('INBOX');
assert.equal(client.mailbox.exists, 4);
assert.ok(client.mailbox.mailboxId && client.mailbox.highestModseq > 0n);
const all = await collect(client.fetch('1:*', {
  uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true, threadId: true,
  headers: ['subject'], source: { start: 0, maxLength: 20 },
}));
assert.deepEqual(all.map((m) => m.envelope.subject), ['number 1', 'number 2', 'number 3', 'number 4']);
assert.ok(all[0].flags.has('\\Seen') && !all[1].flags.has('\\Seen'));
assert.equal(all[0].bodyStructure.childNodes[0].type, 'text/plain');
assert.equal(all[0].size, Buffer.byteLength(text(1, 'Grüße 1')));
assert.ok(all[0].emailId && all[0].threadId && all[0].emailId !== all[1].emailId);
assert.equal(all[0].source.toString(), text(1, '').slice(0, 20));
assert.match(all[0].headers.toString(), /number 1/);

// Whole messages and parts decoded by the server (BINARY).
const whole = await client.download('2');
assert.equal(Buffer.concat(await collect(whole.content)).toString(), text(2, 'Grüße 2'));
const part = await client.download('2', '1');
assert.equal(Buffer.concat(await collect(part.content)).toString(), 'Grüße 2');

// SEARCH as ESEARCH under IMAP4rev2, also with no hit.
assert.deepEqual(await client.search({ seen: false }, { uid: true }), [2, 3, 4]);
assert.deepEqual(await client.search({ body: 'grüße 3' }, { uid: true }), [3]);
assert.deepEqual(await client.search({ header: { 'message-id': '<4@example.org>' } }, { uid: true }), [4]);
assert.deepEqual(await client.search({ subject: 'nothing has this' }, { uid: true }), []);
assert.deepEqual(await client.search({ since: new Date('2026-11-01'), or: [{ from: 'ann' }, { to: 'eve' }] }), [1, 2, 3, 4]);

// Another connection's changes while this one idles.
const told = [];
client.on('exists', (event) => told.push(['exists', event.count]));
client.on('expunge', (event) => told.push(['expunge', event.uid ?? event.seq]));
client.on('flags', (event) => told.push(['flags', event.seq, [...event.flags].join()]));
const other = await connect({ disableAutoIdle: true });
const idle = client.idle();
await new Promise((resolve) => setTimeout(resolve, 300));
const theirs = await other.getMailboxLock('INBOX');
await other.append('INBOX', text(5, 'five'));
await other.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
await other.messageDelete('3', { uid: true });
const moved = await other.messageMove('4', 'Archive', { uid: true });
assert.equal(moved.uidMap.get(4), 1);
assert.equal((await other.messageCopy('1', 'Archive', { uid: true })).uidMap.get(1), 2);
theirs.release();
for (let i = 0; i < 50 && told.length < 4; i++) await new Promise((resolve) => setTimeout(resolve, 100));
await client.noop();
await idle;
assert.ok(told.some(([what, count]) => what === 'exists' && count === 5), JSON.stringify(told));
assert.ok(told.some(([what, , flags]) => what === 'flags' && flags.includes('\\Flagged')), JSON.stringify(told));
assert.equal(told.filter(([what]) => what === 'expunge').length, 2, JSON.stringify(told));
assert.deepEqual((await collect(client.fetch('1:*', { uid: true }))).map((m) => m.uid), [1, 2, 5]);
const changed = await collect(client.fetch('1:*', { uid: true, flags: true }, { changedSince: client.mailbox.highestModseq - 1n }));
assert.ok(changed.length < 3);
lock.release();

const quota = await client.getQuota('INBOX');
assert.ok(quota === false || typeof quota === 'object');
assert.equal((await client.status('Archive', { messages: true, size: true })).messages, 2);
await client.mailboxRename(['Entwürfe', '日本'], ['Entwürfe', 'Ünïcode']);
await client.mailboxDelete(['Entwürfe', 'Ünïcode']);
await other.logout();
await client.logout();
console.log('done');
