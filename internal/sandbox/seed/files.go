package seed

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"
)

// chartPNG draws a small bar chart.
func chartPNG(seed uint32) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, 320, 120))
	for y := range 120 {
		for x := range 320 {
			img.Set(x, y, color.RGBA{250, 250, 245, 255})
		}
	}
	hue := color.RGBA{uint8(60 + seed%120), uint8(80 + seed>>8%100), uint8(120 + seed>>16%100), 255}
	for bar := range 12 {
		height := 15 + int(seed>>(bar*2)%7)*14
		for x := range 18 {
			for y := range height {
				img.Set(10+bar*25+x, 115-y, hue)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("draw a chart: %w", err)
	}
	return b.Bytes(), nil
}

// pdf writes a document of one page with the lines on it (ISO 32000-1, 7.5).
func pdf(lines ...string) []byte {
	var content strings.Builder
	content.WriteString("BT /F1 14 Tf 72 760 Td 20 TL")
	escape := strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`)
	for _, l := range lines {
		fmt.Fprintf(&content, " (%s) Tj T*", escape.Replace(l))
	}
	content.WriteString(" ET")
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", content.Len(), content.String()),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.Bytes()
}
