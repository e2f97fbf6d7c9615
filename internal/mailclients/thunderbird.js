// What thunderbird.go asks of a running Thunderbird, as functions of
// window.postern. It is run in the program's own context.
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const flags = { inbox: 0x1000, sent: 0x200, trash: 0x100, drafts: 0x400, junk: 0x40000000, archive: 0x4000 };
const wait = (ms) => new Promise((resolve) => window.setTimeout(resolve, ms));
// until polls what the program tells no listener of.
const until = async (what, done) => {
  for (let i = 0; i < 1200; i++) {
    const got = await done();
    if (got) return got;
    await wait(50);
  }
  throw new Error('waited for ' + what + ' in vain');
};
let server, inbox, identity, msgWindow;
const folders = () => server.rootFolder.descendants;
const byName = (name) => folders().find((f) => f.name === name);
const headers = (folder) => [...folder.msgDatabase.enumerateMessages()];
const bySubject = (folder, subject) => headers(folder).find((h) => h.mime2DecodedSubject === subject);
const update = (folder) => new Promise((resolve) => {
  folder.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(msgWindow, {
    OnStartRunningUrl() {}, OnStopRunningUrl(url, code) { resolve(code); },
  });
});

window.postern = {
  async account(imap, smtp, user, password, ca) {
    const db = Cc['@mozilla.org/security/x509certdb;1'].getService(Ci.nsIX509CertDB);
    db.addCertFromBase64(ca.replace(/-----[^-]+-----/g, '').replace(/\s/g, ''), 'CTu,,');
    for (const origin of ['imap://localhost', 'smtp://localhost']) {
      const login = Cc['@mozilla.org/login-manager/loginInfo;1'].createInstance(Ci.nsILoginInfo);
      login.init(origin, null, origin, user, password, '', '');
      await Services.logins.addLoginAsync(login);
    }
    server = MailServices.accounts.createIncomingServer(user, 'localhost', 'imap');
    server.port = imap;
    server.socketType = Ci.nsMsgSocketType.alwaysSTARTTLS;
    server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
    const out = MailServices.outgoingServer.createServer('smtp').QueryInterface(Ci.nsISmtpServer);
    out.hostname = 'localhost';
    out.port = smtp;
    out.username = user;
    out.socketType = Ci.nsMsgSocketType.alwaysSTARTTLS;
    out.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
    identity = MailServices.accounts.createIdentity();
    identity.email = user;
    identity.fullName = 'A thunderbird';
    identity.smtpServerKey = out.key;
    const account = MailServices.accounts.createAccount();
    account.incomingServer = server;
    account.addIdentity(identity);
    MailServices.accounts.defaultAccount = account;
    msgWindow = Cc['@mozilla.org/messenger/msgwindow;1'].createInstance(Ci.nsIMsgWindow);
  },
  async list() {
    inbox = folders().find((f) => f.flags & flags.inbox); // it is there before any other
    await update(inbox); // connects, which lists the folders
    const roles = () => Object.entries(flags).filter(([, flag]) => folders().some((f) => f.flags & flag)).map(([role]) => role);
    await until('special folders', () => ['inbox', 'sent', 'trash', 'drafts'].every((r) => roles().includes(r)));
    return roles();
  },
  async headers() {
    await update(inbox);
    return until('headers', () => {
      const n = headers(inbox).length;
      return n > 0 && n === inbox.getTotalMessages(false) && n;
    });
  },
  async read(count) {
    const sources = [];
    for (const h of headers(inbox).slice(0, count)) {
      const uri = inbox.getUriForMsg(h);
      sources.push(await new Promise((resolve, reject) => {
        let text = '';
        MailServices.messageServiceFromURI(uri).streamMessage(uri, {
          QueryInterface: ChromeUtils.generateQI(['nsIStreamListener']),
          onStartRequest() {},
          onDataAvailable(request, stream, offset, n) {
            const s = Cc['@mozilla.org/binaryinputstream;1'].createInstance(Ci.nsIBinaryInputStream);
            s.setInputStream(stream);
            text += s.readBytes(n);
          },
          onStopRequest(request, code) { code ? reject(new Error('code ' + code)) : resolve(text); },
        }, null, null, false, '', false);
      }));
    }
    return sources;
  },
  // idle leaves the inbox selected: the program idles on it by itself.
  async idle() { await update(inbox); },
  async receive(subject) { await until('the new message', () => bySubject(inbox, subject)); },
  async flag(subject) {
    const h = bySubject(inbox, subject);
    inbox.markMessagesRead([h], true);
    inbox.markMessagesFlagged([h], true);
  },
  async search(text) {
    const session = Cc['@mozilla.org/messenger/searchSession;1'].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, inbox);
    const term = session.createTerm();
    const value = term.value;
    term.attrib = value.attrib = Ci.nsMsgSearchAttrib.Body;
    term.op = Ci.nsMsgSearchOp.Contains;
    value.str = text;
    term.value = value;
    session.appendTerm(term);
    let hits = 0;
    await new Promise((resolve) => {
      session.registerListener({ onSearchHit() { hits++; }, onSearchDone: resolve, onNewSearch() {} });
      session.search(msgWindow);
    });
    return hits;
  },
  async folder(name) {
    server.rootFolder.createSubfolder(name, msgWindow);
    await until('the new folder', () => byName(name));
  },
  async move(subject, to) {
    await new Promise((resolve, reject) => MailServices.copy.copyMessages(inbox, [bySubject(inbox, subject)], byName(to), true, {
      QueryInterface: ChromeUtils.generateQI(['nsIMsgCopyServiceListener']),
      onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return ''; },
      onStopCopy(code) { code ? reject(new Error('code ' + code)) : resolve(); },
    }, msgWindow, false));
  },
  async send(to, subject) {
    const fields = Cc['@mozilla.org/messengercompose/composefields;1'].createInstance(Ci.nsIMsgCompFields);
    fields.from = identity.email;
    fields.to = to;
    fields.subject = subject;
    fields.body = 'hello from a real program\r\n';
    const params = Cc['@mozilla.org/messengercompose/composeparams;1'].createInstance(Ci.nsIMsgComposeParams);
    params.composeFields = fields;
    params.identity = identity;
    params.format = Ci.nsIMsgCompFormat.PlainText;
    const compose = Cc['@mozilla.org/messengercompose/compose;1'].createInstance(Ci.nsIMsgCompose);
    compose.initialize(params);
    await new Promise((resolve, reject) => {
      compose.addMsgSendListener({
        QueryInterface: ChromeUtils.generateQI(['nsIMsgSendListener']),
        onStartSending() {}, onProgress() {}, onStatus() {}, onGetDraftFolderURI() {}, onSendNotPerformed(id, code) { reject(new Error('not sent: ' + code)); },
        onTransportSecurityError() { reject(new Error('TLS')); },
        onStopSending(id, code, text) { code ? reject(new Error('code ' + code + ' ' + text)) : resolve(); },
      });
      compose.sendMsg(Ci.nsIMsgCompDeliverMode.Now, identity, '', null, null);
    });
  },
};
