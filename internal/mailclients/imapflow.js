// Drives imapflow through the steps that imapflow.go names, and prints one line
// of JSON per step: {"step", "error"}.
const fs = require('fs');
const crypto = require('crypto');
const { createRequire } = require('module');
const [, , modules, port, user, pass, caFile, digestsFile] = process.argv;
const { ImapFlow } = createRequire(modules + '/node_modules/')('imapflow');

const digests = new Set(JSON.parse(fs.readFileSync(digestsFile, 'utf8')));
const client = new ImapFlow({
  host: 'localhost', port: +port, secure: false, doSTARTTLS: true, auth: { user, pass }, logger: false,
  tls: { ca: fs.readFileSync(caFile) }, qresync: true,
});
const must = (what, ok) => { if (!ok) throw new Error(what); };
const step = async (name, run) => {
  try {
    await run();
    console.log(JSON.stringify({ step: name }));
  } catch (e) {
    console.log(JSON.stringify({ step: name, error: [e.message, e.responseText, e.executedCommand].filter(Boolean).join(' | ') }));
    process.exit(1);
  }
};

(async () => {
  await step('connect', async () => { await client.connect(); must('no TLS', client.secureConnection); });
  await step('list', async () => {
    const roles = (await client.list()).map(m => m.specialUse);
    for (const role of ['\\Inbox', '\\Sent', '\\Trash', '\\Drafts', '\\Junk']) must('no ' + role, roles.includes(role));
  });
  await step('status', async () => {
    const s = await client.status('INBOX', { messages: true, uidNext: true, uidValidity: true, unseen: true, size: true });
    must('counts ' + s.messages + ', want ' + digests.size, s.messages >= digests.size && s.uidNext > s.messages);
  });
  let lock = await client.getMailboxLock('INBOX');
  let first;
  await step('fetch', async () => {
    let n = 0;
    for await (const m of client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true })) {
      must('incomplete', m.uid && m.flags && m.envelope && m.bodyStructure && m.size > 0 && m.internalDate);
      first ||= m;
      n++;
    }
    must('fetched ' + n, n === client.mailbox.exists);
  });
  await step('bytes', async () => {
    const found = new Set();
    for await (const m of client.fetch('1:*', { source: true, size: true })) {
      must('size of ' + m.seq, m.source.length === m.size);
      found.add(crypto.createHash('sha256').update(m.source).digest('hex'));
    }
    for (const d of digests) must('a message differs or is missing', found.has(d));
  });
  await step('search', async () => {
    const text = 'imapflow' + Date.now();
    const r = await client.append('INBOX', `From: <a@example.org>\r\nTo: <${user}>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_${text}?=\r\n\r\nan invoice\r\n`, ['\\Seen'], new Date('2020-02-03T04:05:06Z'));
    must('no UID for what was appended', r.uid && r.uidValidity);
    const by = await client.search({ subject: 'grüße ' + text, body: 'nvoic', seen: true }, { uid: true });
    must('found ' + JSON.stringify(by), by.length === 1 && by[0] === r.uid);
    await client.messageFlagsAdd(by, ['$Forwarded', '\\Flagged'], { uid: true });
    const m = await client.fetchOne(by[0], { flags: true, internalDate: true }, { uid: true });
    must('flags ' + [...m.flags], m.flags.has('$Forwarded') && m.flags.has('\\Flagged') && m.flags.has('\\Seen'));
    await client.mailboxCreate('Moved by imapflow');
    const moved = await client.messageMove(by, 'Moved by imapflow', { uid: true });
    must('not moved', moved && moved.uidMap && moved.uidMap.get(r.uid));
  });
  await step('folders', async () => {
    await client.mailboxCreate(['Résumé & more', 'below']);
    const paths = (await client.list()).map(m => m.path);
    must('not created: ' + paths, paths.includes('Résumé & more/below'));
    await client.mailboxRename('Résumé & more/below', 'Renamed');
    await client.mailboxDelete('Renamed');
    await client.mailboxDelete('Résumé & more');
  });
  await step('idle', async () => {
    const told = new Promise(resolve => client.once('exists', resolve));
    const idle = client.idle();
    console.log(JSON.stringify({ waiting: true }));
    const e = await told;
    must('no new message', e.count > e.prevCount);
    lock.release();
    await client.noop();
    await idle;
  });
  await step('logout', () => client.logout());
})();
