package netboot

import "testing"

func TestScripts(t *testing.T) {
	for name, boot := range map[string]*Boot{"install": testBoot(), "disk": nil} {
		text, err := renderScript("http://10.77.0.1:8080", boot)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "script/"+name, text)
	}
}

func TestScriptRefusesSyntax(t *testing.T) {
	for _, bad := range []func(*Boot){
		func(b *Boot) { b.Cmdline = "a || shell" },
		func(b *Boot) { b.Cmdline = "a #b" },
		func(b *Boot) { b.Cmdline = "a ${net0/mac}" },
		func(b *Boot) { b.Cmdline = "a\nshell" },
		func(b *Boot) { b.Cmdline = `a\b` },
		func(b *Boot) { b.Title = "é" },
		func(b *Boot) { b.Kernel = "/boot/a b" },
		func(b *Boot) { b.Kernel = "" },
		func(b *Boot) { b.Initrd = "//elsewhere/x" },
		func(b *Boot) { b.Initrd = "ftp://elsewhere/x" },
	} {
		b := testBoot()
		bad(b)
		if text, err := renderScript("http://10.77.0.1", b); err == nil {
			t.Errorf("%+v made a script:\n%s", b, text)
		}
	}
}
