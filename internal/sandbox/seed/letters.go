package seed

import "fmt"

var (
	charles = Person{"Charles Babbage", "charles@difference.example"}
	mary    = Person{"Mary Somerville", "mary.somerville@royal-society.example"}
	emmy    = Person{"Emmy Noether", "emmy@goettingen.example"}
	katsuko = Person{"猿橋勝子", "saruhashi@kaiyo.example"}
	hedy    = Person{"Hedy Lamarr", "hedy@frequency.example"}
	tartu   = Person{"Jürgen Groß", "juergen.gross@muenchen.example"}
)

func (w *writer) threads() error {
	me, peer := w.owner, w.peer
	chart, err := chartPNG(w.rand.Uint32())
	if err != nil {
		return err
	}
	report := part{Name: "quarterly report.pdf", Type: "application/pdf", Data: pdf("Quarterly report", "Cards punched: 42,196", "Cards lost: 3")}
	for _, t := range []struct {
		folder, subject string
		days            int
		people          []Person
		turns           []turn
	}{
		{"", "Agenda for Thursday", 2, []Person{me, peer, mary}, []turn{
			{from: peer, text: "Hi both,\n\nfor Thursday I have three points: the release, the budget and who brings the biscuits. Anything to add?\n\n" + peer.Name},
			{from: mary, text: "I would like ten minutes on the comet paper. And I bring the biscuits, so that is settled.", keywords: []string{"$answered"}},
			{from: me, text: "Perfect. I add one point: the build has been red since Tuesday and nobody has said so aloud."},
			{from: peer, text: "I was going to say it on Thursday.\n\nIt was me."},
		}},
		{"", "Quarterly report", 5, []Person{charles, me}, []turn{
			{from: charles, text: "Please find the report attached. The figures on page 3 are the ones the committee will ask about.\n\nYours,\nCharles", attach: []part{report}, keywords: []string{"$flagged"}},
			{from: me, text: "Thank you. Page 3 says 42,196, the table in the annex 42,169. Which is it?"},
			{from: charles, text: "The annex was typed by hand. The engine would not have made that mistake."},
		}},
		{FolderEngine, "Store and mill: notes", 24, []Person{charles, me}, []turn{
			{from: charles, text: "The mill can now add, subtract, multiply and divide, and the store holds a hundred numbers of forty digits. What it cannot do is explain itself to a minister."},
			{from: me, text: "Then let me write the notes. A machine that weaves algebra as a loom weaves flowers: they will understand looms.", keywords: []string{"$flagged"}},
			{from: charles, text: "They will fund looms."},
			{from: me, text: "Note G has a table. Please check the third column, I was tired.", attach: []part{{Name: "note-g.csv", Type: "text/csv", Data: []byte("step,operation,variables\n1,multiply,V2*V3\n2,subtract,V4-V1\n3,add,V5+V1\n")}}},
			{from: charles, text: "Step 4 divides the wrong way round. I have corrected it in my copy."},
		}},
		{FolderEngine, "Measurements of the new gears", 17, []Person{me, peer, charles}, []turn{
			{from: peer, text: "The chart shows the wear after 10,000 turns. The third gear is the one to worry about.", attach: []part{{Name: "wear.png", Type: "image/png", Data: chart}}},
			{from: me, text: "The third gear is the one I filed by hand."},
		}},
		{FolderTravel, "Hotel in Göttingen", 12, []Person{emmy, me}, []turn{
			{from: emmy, text: "I asked at the Gebhards: they have a room from the 14th to the 17th, quiet side, 96 euros with breakfast. Shall I book it?"},
			{from: me, text: "Yes please, and a late arrival: the train is at 22:48. 🚆"},
			{from: emmy, text: "Booked. They leave the key with the night porter.\n\nBring the manuscript!", keywords: []string{"$answered"}},
		}},
		{"archive", "Your talk at the society", 48, []Person{mary, me}, []turn{
			{from: mary, text: "Everybody is still talking about it, and two people understood it. That is a record."},
			{from: me, text: "Who is the second?"},
			{from: mary, text: "The gentleman who fell asleep says he agreed with all of it."},
		}},
		{"", "Lunch?", 1, []Person{peer, me}, []turn{
			{from: peer, text: "12:30 at the canteen, before the queue?"},
			{from: me, text: "👍 12:30"},
		}},
		{"archive", "Frequency hopping", 66, []Person{hedy, me}, []turn{
			{from: hedy, text: "If transmitter and receiver change the frequency together, from a roll as in a player piano, nobody can jam them without jamming everything. Tell me why it does not work."},
			{from: me, text: "It works. The question is how the two pianos stay in time."},
		}},
	} {
		if err := w.thread(t.folder, t.subject, t.days, t.people, t.turns...); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) newsletters() error {
	desk := Person{"The Compiler Weekly", "weekly@compiler.example"}
	topics := []string{"Nanoseconds you can hold in your hand", "Seven ways to lose an afternoon to a linker", "Ask the parser", "What the moth saw", "Undefined behaviour, defined", "A short history of the subroutine"}
	for i := range 8 {
		topic := topics[(i+w.rand.IntN(2))%len(topics)]
		banner, err := chartPNG(w.rand.Uint32())
		if err != nil {
			return err
		}
		m := mail{
			From: desk, To: []Person{w.owner}, Date: w.ago(3 + 7*i), Subject: fmt.Sprintf("Issue %d: %s", 412-i, topic),
			Text: topic + "\n\nRead it on paper, or here:\nhttps://compiler.example/weekly\n\nUnsubscribe: https://compiler.example/leave\n",
			HTML: `<table width="600" align="center" style="font-family:Georgia,serif"><tr><td><img src="cid:banner" alt="" width="320" height="120"><h1 style="color:#204a87">` + topic +
				`</h1><p>This week: three short pieces, one long one, and a correction.</p><ul><li>Why the <b>second</b> pass is the honest one</li><li>Letters</li></ul>` +
				`<p><a href="https://compiler.example/weekly">Read on</a></p><p style="font-size:11px;color:#777">You get this because you asked for it. <a href="https://compiler.example/leave">Leave</a></p></td></tr></table>`,
			Inline: []part{{Name: "banner.png", Type: "image/png", Data: banner, CID: "banner"}},
			Fields: []string{"List-Id: The Compiler Weekly <weekly.compiler.example>", "List-Unsubscribe: <https://compiler.example/leave>", "Precedence: bulk"},
		}
		folder := ""
		if i > 4 {
			folder = "archive"
		}
		if err := w.put(folder, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) notices() error {
	type notice struct {
		from           Person
		folder         string
		days           int
		subject, text  string
		html           bool
		attach         []part
		fields, labels []string
	}
	build := Person{"Build", "noreply@ci.example"}
	shop := Person{"Punch & Card Supplies", "orders@punchcards.example"}
	bank := Person{"First Example Bank", "service@bank.example"}
	var all []notice
	for i := range 7 {
		state, keywords := w.pick("passed", "passed", "failed"), []string(nil)
		if i < 2 {
			keywords = []string{"unread"}
		}
		all = append(all, notice{from: build, days: i * 2, subject: fmt.Sprintf("[engine] build %d %s", 1841-i, state), labels: keywords,
			text:   fmt.Sprintf("Build %d of branch main %s after %d s.\n\nhttps://ci.example/engine/%d\n", 1841-i, state, 40+w.rand.IntN(300), 1841-i),
			fields: []string{"Auto-Submitted: auto-generated", "List-Id: <engine.ci.example>"}})
	}
	for i := range 4 {
		total := fmt.Sprintf("%d.%02d", 12+w.rand.IntN(80), w.rand.IntN(100))
		all = append(all, notice{from: shop, folder: FolderReceipt, days: 9 + 21*i, html: true, subject: fmt.Sprintf("Your receipt %d-%04d", 2026, 3100-i*7),
			text:   "Thank you for your order.\n\n1 box of cards, blank\n1 hand punch\n\nTotal: EUR " + total + "\n",
			attach: []part{{Name: fmt.Sprintf("receipt-%04d.pdf", 3100-i*7), Type: "application/pdf", Data: pdf("Receipt", "1 box of cards, blank", "1 hand punch", "Total: EUR "+total)}}})
	}
	all = append(all,
		notice{from: bank, days: 6, html: true, subject: "Your statement is ready", text: "Dear " + w.owner.Name + ",\n\nyour statement is ready. We never ask for your password by mail.\n"},
		notice{from: Person{"Library", "library@royal-society.example"}, days: 3, subject: "Due on Friday: Mécanique céleste, vol. 2", text: "Please bring it back, or renew it.\n", labels: []string{"$flagged"}},
		notice{from: Person{"IT Service Desk", "servicedesk@contoso.example"}, days: 14, subject: "Maintenance on Saturday", text: "The mail system is down on Saturday from 06:00 to 08:00 UTC.\n",
			fields: []string{"Importance: high", "X-Priority: 1"}},
		notice{from: Person{"Calendar", "calendar@contoso.example"}, days: 4, subject: "Invitation: Review of Note G", text: "When: next Tuesday, 10:00\nWhere: Room 4\n",
			attach: []part{{Name: "invite.ics", Type: "text/calendar; charset=utf-8; method=REQUEST", Data: []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:note-g@contoso.example\r\nDTSTAMP:20260101T080000Z\r\nDTSTART:20260113T100000Z\r\nDTEND:20260113T110000Z\r\nSUMMARY:Review of Note G\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")}}},
	)
	for _, n := range all {
		m := mail{From: n.from, To: []Person{w.owner}, Date: w.ago(n.days), Subject: n.subject, Text: n.text, Attach: n.attach, Fields: n.fields}
		if n.html {
			m.HTML = paragraphs(n.text)
		}
		if err := w.put(n.folder, m, n.labels...); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) charsets() error {
	for _, m := range []mail{
		{From: katsuko, Charset: "iso-2022-jp", Subject: "海水中の二酸化炭素の測定について", Text: "お世話になっております。\n\n先日の測定結果をお送りいたします。北太平洋の値は予想より高くなりました。\nご確認をお願いいたします。\n\n猿橋"},
		{From: tartu, Charset: "windows-1252", Subject: "Grüße aus München – und eine Frage", Text: "Liebe Kollegin,\n\ndie Übersetzung ist fertig: „Bemerkungen über die Maschine“, 38 Seiten à 2,50 €.\nKönnen wir sie so drucken?\n\nViele Grüße\nJürgen"},
		{From: Person{"Émilie du Châtelet", "emilie@cirey.example"}, Charset: "iso-8859-1", Subject: "À propos des forces vives", Text: "Chère amie,\n\nj'ai relu votre démonstration à l'aube. Tout y est, sauf la conclusion.\n\nÉmilie"},
		{From: Person{"Софья Ковалевская", "sofia@stockholm.example"}, Charset: "koi8-r", Subject: "О вращении твёрдого тела", Text: "Здравствуйте,\n\nпосылаю Вам третий случай. Два первых Вы знаете.\n\nС. К."},
		{From: hedy, Subject: "🎹 it works!", Text: "Eighty-eight keys, eighty-eight frequencies. 🎹🎶\n\nNow somebody has to tell the navy. 🙈", HTML: "<p>Eighty-eight keys, eighty-eight frequencies. 🎹🎶</p><p>Now somebody has to tell the <em>navy</em>. 🙈</p>"},
		{From: Person{"王贞仪", "wang@nanjing.example"}, Subject: "月食的解释", Text: "您好：\n\n圆桌是地球，吊灯是太阳，圆镜是月亮。这样就看得明白了。\n", HTML: "<p>您好：</p><p>圆桌是地球，吊灯是太阳，圆镜是月亮。这样就看得明白了。</p>"},
		{From: Person{"فاطمة الفهرية", "fatima@qarawiyyin.example"}, Subject: "دعوة لزيارة المكتبة", Text: "السلام عليكم،\n\nيسعدنا أن ندعوكم لزيارة المكتبة.\n", HTML: `<div dir="rtl"><p>السلام عليكم،</p><p>يسعدنا أن ندعوكم لزيارة المكتبة.</p></div>`},
	} {
		m.To, m.Date = []Person{w.owner}, w.ago(1+w.rand.IntN(20))
		if err := w.put("", m, w.pick("unread", "$seen")); err != nil {
			return err
		}
	}
	return nil
}

// oddities is mail as machines and careless programs write it.
func (w *writer) oddities() error {
	forwarded, err := mail{From: mary, To: []Person{w.peer}, Date: w.ago(31), Subject: "Comet", ID: w.id(mary), Text: "It is back, as computed."}.compose(w.rand)
	if err != nil {
		return err
	}
	for _, m := range []mail{
		{From: w.peer, Subject: "Fwd: Comet", Text: "See below.", Attach: []part{{Name: "Comet.eml", Type: "message/rfc822", Data: forwarded}}},
		{From: charles, Subject: "", Text: "No subject, in haste."},
		{From: Person{"", "scanner@contoso.example"}, Subject: "Scanned document", Attach: []part{{Name: "scan_0001.pdf", Type: "application/pdf", Data: pdf("Scan", "one page")}}},
		{From: mary, Subject: "A subject that goes on for rather longer than anybody reads, since it was written by somebody who pastes whole first paragraphs into the field, commas and all", Text: "The rest is in the subject."},
		{From: charles, Subject: "HTML only", HTML: `<html><head><style>p{margin:0}</style></head><body><p>This one has <b>no</b> plain text &amp; a table:</p><table border="1"><tr><td>1</td><td>2</td></tr></table><script>alert("never")</script></body></html>`},
	} {
		m.To, m.Date = []Person{w.owner}, w.ago(2+w.rand.IntN(25))
		if err := w.put("", m); err != nil {
			return err
		}
	}
	spam := mail{From: Person{"PRIZE DEPARTMENT", "winner@lottery.invalid"}, To: []Person{w.owner}, Date: w.ago(2), Subject: "YOU HAVE WON!!!", Text: "Send us your password to collect.", HTML: "<h1>YOU HAVE WON!!!</h1>"}
	if err := w.put("junkemail", spam, "unread"); err != nil {
		return err
	}
	old := mail{From: Person{"Old List", "list@old.example"}, To: []Person{w.owner}, Date: w.ago(35), Subject: "Digest 7", Text: "Nothing today."}
	return w.put("deleteditems", old)
}

func (w *writer) drafts() error {
	for i, m := range []mail{
		{To: []Person{charles}, Subject: "Re: Quarterly report", Text: "Dear Charles,\n\nabout page 3: "},
		{To: []Person{emmy}, Subject: "Manuscript", Text: "It is nearly finished. It has been nearly finished since March.", HTML: "<p>It is nearly finished. It has been nearly finished since <i>March</i>.</p>"},
	} {
		m.From, m.Date = w.owner, w.ago(1+i*3)
		if err := w.put("drafts", m, "$draft", "$seen"); err != nil {
			return err
		}
	}
	return nil
}
