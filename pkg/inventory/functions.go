package inventory

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// secretType is what secret() yields: a capsule that converts to nothing, so a reference cannot get into text by accident.
var secretType = cty.Capsule("secret", stringType)

// maxRange bounds range(); the standard library's own bound of 1,024 is too small for a fleet.
const maxRange = 100_000

// functions are all functions of the language, over the loader's way to read files.
func (l *loader) functions() map[string]function.Function {
	f := map[string]function.Function{
		"file": l.fileFunction(), "secret": secretFunction, "range": rangeFunction, "length": lengthFunction,
		"cidrhost": cidrhostFunction, "cidrsubnet": cidrsubnetFunction, "cidrnetmask": cidrnetmaskFunction,
		"startswith": textTest(strings.HasPrefix), "endswith": textTest(strings.HasSuffix),
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
		"tostring": stdlib.MakeToFunc(cty.String), "tonumber": stdlib.MakeToFunc(cty.Number), "tobool": stdlib.MakeToFunc(cty.Bool),
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
	}
	for name, fn := range standardFunctions {
		f[name] = fn
	}
	return f
}

// standardFunctions come from go-cty; some are kept from using up the memory.
var standardFunctions = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "int": stdlib.IntFunc, "log": stdlib.LogFunc,
	"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,
	"chomp": stdlib.ChompFunc, "format": guarded(stdlib.FormatFunc, checkFormat), "formatlist": guarded(stdlib.FormatListFunc, checkFormat),
	"indent": guarded(stdlib.IndentFunc, checkIndent),
	"join":   stdlib.JoinFunc, "lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc, "title": stdlib.TitleFunc, "regex": stdlib.RegexFunc,
	"regexall": stdlib.RegexAllFunc, "regexreplace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc,
	"strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
	"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc,
	"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
	"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc,
	"flatten": stdlib.FlattenFunc, "index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc,
	"reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc, "setproduct": guarded(stdlib.SetProductFunc, checkProduct),
	"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc,
	"values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
	"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": jsonencodeFunction,
}

// fn makes a function whose result has one fixed type.
func fn(result cty.Type, params []function.Parameter, impl func(args []cty.Value) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(result),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return impl(args) }})
}

func param(name string, t cty.Type) function.Parameter {
	return function.Parameter{Name: name, Type: t}
}

func (l *loader) fileFunction() function.Function {
	return fn(cty.String, []function.Parameter{param("name", cty.String)}, func(args []cty.Value) (cty.Value, error) {
		if strings.Contains(args[0].AsString(), cleartextWord) {
			return cty.NilVal, errors.New("secrets are referred to with secret(), never read with file()")
		}
		b, err := l.read(args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		if strings.Contains(string(b), "PRIVATE KEY-----") {
			return cty.NilVal, fmt.Errorf("%s holds a private key, which must not get into an inventory; use secret() and the secret store", args[0].AsString())
		}
		return cty.StringVal(string(b)), nil
	})
}

var secretFunction = fn(secretType, []function.Parameter{param("name", cty.String)}, func(args []cty.Value) (cty.Value, error) {
	name := args[0].AsString()
	if name == "" {
		return cty.NilVal, errors.New("a secret needs a name")
	}
	return cty.CapsuleVal(secretType, &name), nil
})

// rangeFunction is range(END), range(START, END) or range(START, END, STEP); END is left out.
var rangeFunction = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "numbers", Type: cty.Number},
	Type:     function.StaticReturnType(cty.List(cty.Number)),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		numbers := []int64{0, 0, 1}
		for i, a := range args {
			n, accuracy := a.AsBigFloat().Int64()
			if accuracy != big.Exact || len(args) > 3 {
				return cty.NilVal, errors.New("range takes one to three whole numbers: range(END), range(START, END), range(START, END, STEP)")
			}
			if len(args) == 1 {
				numbers[1] = n
			} else {
				numbers[i] = n
			}
		}
		start, end, step := numbers[0], numbers[1], numbers[2]
		if len(args) == 0 || step == 0 {
			return cty.NilVal, errors.New("range needs an end, and a step that is not zero")
		}
		var out []cty.Value
		for i := big.NewInt(start); i.Cmp(big.NewInt(end)) == -big.NewInt(step).Sign(); i.Add(i, big.NewInt(step)) {
			if len(out) == maxRange {
				return cty.NilVal, fmt.Errorf("range would have more than %d elements", maxRange)
			}
			out = append(out, cty.NumberIntVal(i.Int64()))
		}
		if out == nil {
			return cty.ListValEmpty(cty.Number), nil
		}
		return cty.ListVal(out), nil
	},
})

var lengthFunction = fn(cty.Number, []function.Parameter{param("value", cty.DynamicPseudoType)}, func(args []cty.Value) (cty.Value, error) {
	if args[0].Type() == cty.String {
		return stdlib.Strlen(args[0])
	}
	return stdlib.Length(args[0])
})

// jsonencodeFunction is the standard one, but not for secrets: a capsule has a JSON form, which would pass for text.
var jsonencodeFunction = fn(cty.String, []function.Parameter{param("value", cty.DynamicPseudoType)}, func(args []cty.Value) (cty.Value, error) {
	secret := false
	err := cty.Walk(args[0], func(_ cty.Path, v cty.Value) (bool, error) {
		secret = secret || v.Type().Equals(secretType)
		return !secret, nil
	})
	if err != nil || secret {
		return cty.NilVal, errors.Join(err, errors.New("a secret cannot be put into text"))
	}
	return stdlib.JSONEncode(args[0])
})

func textTest(test func(s, part string) bool) function.Function {
	return fn(cty.Bool, []function.Parameter{param("text", cty.String), param("part", cty.String)}, func(args []cty.Value) (cty.Value, error) {
		return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
	})
}

func wholeNumber(v cty.Value) (int64, error) {
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact {
		return 0, fmt.Errorf("%s is not a whole number", v.AsBigFloat().String())
	}
	return n, nil
}

func prefixParam() function.Parameter { return param("prefix", cty.String) }

var cidrhostFunction = fn(cty.String, []function.Parameter{prefixParam(), param("number", cty.Number)}, func(args []cty.Value) (cty.Value, error) {
	p, err := netip.ParsePrefix(args[0].AsString())
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is not a prefix like 10.77.0.0/24", args[0].AsString())
	}
	n, err := wholeNumber(args[1])
	if err != nil {
		return cty.NilVal, err
	}
	a, err := hostAddr(p, n)
	return cty.StringVal(a.String()), err
})

var cidrsubnetFunction = fn(cty.String, []function.Parameter{prefixParam(), param("newbits", cty.Number), param("number", cty.Number)}, func(args []cty.Value) (cty.Value, error) {
	p, err := netip.ParsePrefix(args[0].AsString())
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is not a prefix like 10.77.0.0/24", args[0].AsString())
	}
	bits, err := wholeNumber(args[1])
	if err != nil {
		return cty.NilVal, err
	}
	n, err := wholeNumber(args[2])
	if err != nil {
		return cty.NilVal, err
	}
	s, err := subnet(p, bits, n)
	return cty.StringVal(s.String()), err
})

var cidrnetmaskFunction = fn(cty.String, []function.Parameter{prefixParam()}, func(args []cty.Value) (cty.Value, error) {
	p, err := netip.ParsePrefix(args[0].AsString())
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is not a prefix like 10.77.0.0/24", args[0].AsString())
	}
	m, err := netmask(p)
	return cty.StringVal(m), err
})
