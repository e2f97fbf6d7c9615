package graph

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestAttachments(t *testing.T) {
	w := newWorld(t, nil)
	raw := "From: a@b\nSubject: files\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<img src=cid:pic>\n--r\nContent-Type: image/png\nContent-ID: <pic>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--r--\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment;\n filename*0*=utf-8''gr%C3%BC;\n filename*1=n.pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==\n--b\nContent-Type: message/rfc822\n\nFrom: in@side\nSubject: inner\n\ninner text\n--b--\n"
	id := w.deliver(cloud.Delivery{Raw: []byte(raw)})
	list := w.get("/me/messages/"+id+"/attachments", "Prefer", immutable).is(200)
	vs := list.values()
	if len(vs) != 3 || vs[0]["isInline"] != true || vs[0]["contentId"] != "pic" || vs[0]["contentBytes"] != "iVBORw0KGgo=" || vs[1]["name"] != "grün.pdf" || vs[2]["@odata.type"] != "#microsoft.graph.itemAttachment" {
		t.Fatalf("list: %s", list.raw)
	}
	if size := vs[1]["size"].(float64); size <= 4 {
		t.Errorf("size %v is not more than the file's", size)
	}
	pdf, inner := vs[1]["id"].(string), vs[2]["id"].(string)
	value := w.get("/me/messages/" + id + "/attachments/" + pdf + "/$value").is(200)
	if string(value.raw) != "%PDF" || value.header.Get("Content-Type") != "application/pdf" {
		t.Errorf("value %q %v", value.raw, value.header)
	}
	if got := w.get("/me/messages/" + id + "/attachments/" + inner + "/$value").is(200); !strings.HasPrefix(string(got.raw), "From: in@side\r\n") {
		t.Errorf("inner %q", got.raw)
	}
	item := w.get("/me/messages/" + id + "/attachments/" + inner + "?$expand=microsoft.graph.itemattachment/item").is(200)
	if item.at("item", "subject") != "inner" || item.text("item", "body", "content") != "inner text" {
		t.Errorf("item: %s", item.raw)
	}
	if got := w.get("/me/messages/" + id + "/attachments?$select=name,size&$top=1").is(200); got.at("value", 0, "contentBytes") != nil || got.text("@odata.nextLink") == "" {
		t.Errorf("selected: %s", got.raw)
	}
	if got := w.get("/me/messages/" + id + "/attachments/$count").is(200); string(got.raw) != "3" {
		t.Errorf("count %s", got.raw)
	}
	if got := w.get("/me/messages/" + id + "?$expand=attachments($select=name)").is(200); got.at("attachments", 1, "name") != "grün.pdf" || got.at("attachments", 1, "contentBytes") != nil {
		t.Errorf("expanded: %s", got.raw)
	}
	w.do("POST", "/me/messages/"+id+"/attachments", obj{"@odata.type": "#microsoft.graph.fileAttachment", "name": "x", "contentBytes": "eA=="}).is(201)
	w.do("DELETE", "/me/messages/"+id+"/attachments/"+pdf, nil).is(204)
	w.get("/me/messages/"+id+"/attachments/"+pdf).refuses(404, "ErrorItemNotFound")
	w.get("/me/messages/"+id+"/attachments/junk").refuses(400, "ErrorInvalidIdMalformed")
	if got := w.get("/me/messages/" + id + "/attachments").is(200).values(); len(got) != 3 {
		t.Errorf("after adding one and deleting one: %v", got)
	}

	draft := w.do("POST", "/me/messages", obj{"subject": "d"}).is(201).text("id")
	made := w.do("POST", "/me/messages/"+draft+"/attachments", obj{"@odata.type": "#microsoft.graph.fileAttachment", "name": "n.bin", "contentType": "application/x-n", "contentBytes": "AAEC"}).is(201)
	if got := w.get("/me/messages/" + draft + "/attachments/" + made.text("id") + "/$value").is(200); !bytes.Equal(got.raw, []byte{0, 1, 2}) {
		t.Errorf("made %v", got.raw)
	}
	w.do("POST", "/me/messages/"+draft+"/attachments", obj{"@odata.type": "#microsoft.graph.itemAttachment", "name": "inside", "item": obj{"@odata.type": "microsoft.graph.message", "subject": "deep", "body": obj{"content": "deep text"}}}).is(201)
	if mime := string(w.get("/me/messages/" + draft + "/$value").raw); !strings.Contains(mime, "AAEC") || !strings.Contains(mime, "Subject: deep") {
		t.Errorf("MIME %q", mime)
	}
	if got := w.get("/me/messages/" + draft).is(200).at("hasAttachments"); got != true {
		t.Error("hasAttachments is false")
	}
	w.do("POST", "/me/messages/"+draft+"/attachments", obj{"@odata.type": "#microsoft.graph.referenceAttachment", "name": "x"}).refuses(501, RefusedCode)
	w.do("POST", "/me/messages/"+draft+"/attachments", obj{"name": "x"}).refuses(400, "RequestBodyRead")
	w.do("POST", "/me/messages/"+draft+"/attachments", obj{"@odata.type": "#microsoft.graph.fileAttachment", "name": "x", "contentBytes": "%"}).refuses(400, "RequestBodyRead")
	big := base64.StdEncoding.EncodeToString(make([]byte, 3<<20))
	w.do("POST", "/me/messages/"+draft+"/attachments", []byte(`{"@odata.type":"#microsoft.graph.fileAttachment","name":"x","contentBytes":"`+big+`"}`)).refuses(413, "BadRequest")
}

func TestUploadSession(t *testing.T) {
	w := newWorld(t, nil)
	draft := w.do("POST", "/me/messages", obj{"subject": "large", "toRecipients": to("a@x.example")}, "Prefer", immutable).is(201).text("id")
	file := make([]byte, 5<<20)
	for i := range file {
		file[i] = byte(i * i >> 7)
	}
	begin := func(size int) *reply {
		return w.do("POST", "/me/messages/"+draft+"/attachments/createUploadSession", obj{"AttachmentItem": obj{"attachmentType": "file", "name": "big.bin", "size": size}})
	}
	begin(1000).refuses(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
	begin(151<<20).refuses(413, "ErrorAttachmentSizeLimitExceeded")
	session := begin(len(file)).is(201)
	link := session.text("uploadUrl")
	if session.at("nextExpectedRanges", 0) != "0-" || !strings.HasPrefix(link, "https://graph.example/upload/") {
		t.Fatalf("session: %s", session.raw)
	}
	put := func(from, end int, headers ...string) *reply {
		return w.do(http.MethodPut, link, file[from:end], append([]string{"Content-Type", "application/octet-stream", "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, end-1, len(file))}, headers...)...)
	}
	const half = 2 << 20
	put(0, half, "Authorization", "Bearer x").refuses(401, "InvalidAuthenticationToken")
	put(half, 2*half).refuses(416, "InvalidRange")
	put(0, len(file)).refuses(413, "BadRequest")
	if r := put(0, half).is(200); r.at("NextExpectedRanges", 0) != fmt.Sprint(half) {
		t.Errorf("first range: %s", r.raw)
	}
	put(0, half).refuses(416, "InvalidRange")
	w.do(http.MethodPut, link, file[half:half+10], "Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, half+99, len(file))).refuses(400, "ErrorInvalidRequest")
	put(half, 2*half).is(200)
	last := put(2*half, len(file)).is(201)
	if len(last.raw) != 0 || !strings.Contains(last.header.Get("Location"), "/Attachments('") {
		t.Errorf("end: %v %s", last.header, last.raw)
	}
	put(0, half).refuses(404, "ErrorItemNotFound")
	list := w.get("/me/messages/" + draft + "/attachments?$select=name").is(200)
	got := w.get("/me/messages/" + draft + "/attachments/" + list.text("value", 0, "id") + "/$value").is(200)
	if !bytes.Equal(got.raw, file) {
		t.Error("the file changed on its way")
	}
	w.do("POST", "/me/messages/"+draft+"/send", nil).is(202)
	c := parseContent(w.sent[0].raw)
	if c.load(); len(c.attachments) != 1 || !bytes.Equal(c.attachments[0].bytes(), file) {
		t.Error("the file was not sent")
	}

	draft = w.do("POST", "/me/messages", obj{"subject": "other"}).is(201).text("id")
	link = begin(len(file)).is(201).text("uploadUrl")
	w.do(http.MethodPut, strings.Replace(link, "authtoken=", "authtoken=x", 1), file[:10], "Content-Range", fmt.Sprintf("bytes 0-9/%d", len(file))).refuses(404, "ErrorItemNotFound")
	w.do(http.MethodDelete, link, nil).is(204)
	put(0, half).refuses(404, "ErrorItemNotFound")
	link = begin(len(file)).is(201).text("uploadUrl")
	w.advance(DefaultSettings().UploadLifetime + time.Hour)
	put(0, half).refuses(404, "ErrorItemNotFound")
}
