package e2e

import (
	"fmt"
	"strings"
)

// uglyMail makes n messages that are all different, of parts as they were found
// in the wild: what real mail does to headers, bodies, charsets and encodings,
// in all combinations.
func uglyMail(n int) [][]byte {
	froms := []string{
		"\"Bel Barlow\" <bel@example.com>",
		"bel@example.com",
		"<bel@example.com>",
		"bel@example.com (Bel Barlow)",
		"=?iso-8859-1?Q?J=FCrgen_M=FCller?= <juergen@example.com>",
		"=?utf-8?B?SsO8cmdlbg==?= <juergen@example.com>",
		"\"Barlow, Bel\" <Bel.Barlow+tag@EXAMPLE.com>",
	}
	subjects := []string{
		"plain",
		"",
		"folded\n very\n\tbadly",
		"=?iso-8859-1?Q?Gr=FC=DFe?= =?iso-8859-1?Q?_aus_K=F6ln?=",
		"=?UTF-8?B?5LiA5LqM?= and more",
		"=?gb2312?B?0ru2/g==?=",
		"raw 8 bit gr\xc3\xbc\xc3\x9fe",
		"=?us-ascii?Q?Re=3A_underscores=5Fand_spaces?=",
		strings.Repeat("long ", 60),
		"<b>no markup</b> &amp; \"quotes\"",
		"tab\tinside",
	}
	dates := []string{
		"Tue, 27 Oct 2009 10:34:11 +1000",
		"27 Oct 2009 10:34:11 GMT",
		"Tue, 27 Oct 2009 10:34:11 -0700 (PDT)",
		"Tue, 7 Oct 09 10:34:11 +0000",
		"Tue, 23 Jul 0102 03:26:35 +1000",
	}
	mixed := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n"
	bodies := []string{
		"\nHello,\n\nthis is ID.\n.\n..\n-- \nsignature\n",
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGr\xc3\xbc\xc3\x9fe, ID\n",
		"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe, a long sentence that is bro=\nken, ID\n",
		"Content-Type: text/plain; charset=\"windows-1252\"\nContent-Transfer-Encoding: QUOTED-PRINTABLE\n\n=93quoted=94, ID, 5 =80\n",
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZSBhdXMgS8O2bG4s\nIHVuZCBtZWhy\n",
		"Content-Type: text/html\n\n<html><head><title>t</title><style>p{color:red}</style></head><body><p>no charset, ID</p><script>alert(1)</script></body></html>\n",
		"Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<p style=3D\"color: red\" onclick=3D\"x()\">Gr=FC=DFe <a href=3D\"http://example.com/ID\">ID</a></p>\n",
		"Content-Type: multipart/alternative;\n\tboundary=\"=_x y\"\n\npreamble\n--=_x y\nContent-Type: text/plain\n\nplain words ID\n--=_x y\nContent-Type: text/html; charset=us-ascii\n\n<b>bold words ID</b>\n--=_x y--\nepilogue\n",
		"Content-Type: multipart/alternative; boundary=----=_Part_1.2\n\n------=_Part_1.2\nContent-Type: text/plain\n\nunquoted boundary ID\n------=_Part_1.2\nContent-Type: text/html\n\n<i>ID</i>\n------=_Part_1.2--\n",
		mixed + "--b1\nContent-Type: text/plain\n\nfirst ID\n--b1\nContent-Type: application/pdf; name=\"a b.pdf\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a b.pdf\"\n\nJVBERi0xLjQK",
		mixed + "--b1\nContent-Type: multipart/related; boundary=b2\n\n--b2\nContent-Type: text/html\n\n<p>ID <img src=\"cid:i@x\"></p>\n--b2\nContent-Type: image/png\nContent-ID: <i@x>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--b2--\n--b1--\n",
		mixed + "--b1\nContent-Type: text/plain\n\nsee below, ID\n--b1\nContent-Type: message/rfc822\n\nFrom: x@example.com\nSubject: inner\n\ninner text\n--b1--\n",
		mixed + "--b1\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.txt\n\nattached text ID\n--b1--\n",
		"Content-Type: text/html;;;; ;charset=us-ascii\n\n<p>too many separators, ID</p>\n",
		"Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B0lFs\x1b(B ID\n",
		"Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit\n\n\xf0\xd2\xc9\xd7\xc5\xd4 ID\n",
		"X-Broken: yes\nthis line of the header has no colon\nX-After: yes\n\nbody after a broken header, ID\n",
	}
	out := make([][]byte, n)
	for i := range out {
		id := fmt.Sprintf("ugly%d", i)
		head := "From: " + froms[i%len(froms)] + "\nTo: <hi@example.org>\nDate: " + dates[i%len(dates)] +
			"\nMessage-ID: <" + id + "@example.com>\nSubject: " + subjects[i%len(subjects)] + "\n"
		if i%13 == 0 {
			head = "From - Tue Oct 27 10:23:55 2009\n" + head
		}
		text := head + strings.ReplaceAll(bodies[i%len(bodies)], "ID", id)
		if i%2 == 0 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		out[i] = []byte(text)
	}
	return out
}
