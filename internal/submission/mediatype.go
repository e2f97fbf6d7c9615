package submission

import (
	"mime"
	"path"
	"strings"
)

// usualTypes are the media types of files that mail carries most; they do not
// depend on what the machine knows.
var usualTypes = map[string]string{
	".csv": "text/csv; charset=utf-8", ".doc": "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".eml":  "message/rfc822", ".gif": "image/gif", ".gz": "application/gzip",
	".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8",
	".ics": "text/calendar; charset=utf-8", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".json": "application/json", ".md": "text/markdown; charset=utf-8", ".mp3": "audio/mpeg", ".mp4": "video/mp4",
	".odt": "application/vnd.oasis.opendocument.text", ".pdf": "application/pdf", ".png": "image/png",
	".ppt": "application/vnd.ms-powerpoint", ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".vcf": "text/vcard; charset=utf-8", ".webp": "image/webp",
	".xls": "application/vnd.ms-excel", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml": "application/xml", ".zip": "application/zip",
}

// typeByName guesses a file's media type by its name, empty where nothing is
// known. message/rfc822 is left out: it must not be encoded (RFC 2046, 5.2.1).
func typeByName(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if t := usualTypes[ext]; t != "" && t != "message/rfc822" {
		return t
	} else if t != "" || ext == "" {
		return ""
	}
	return mime.TypeByExtension(ext)
}
