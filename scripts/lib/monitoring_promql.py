"""What can be said of a PromQL expression without running it.

A join of two selectors whose labels differ gives nothing, for ever and without an error; promtool says SUCCESS to it. So
does `rate` of a gauge, which gives numbers that mean nothing. Both are found here, given which labels each series has.
"""

import re

import promql_parser

# What Prometheus adds to every series of a target.
TARGET = frozenset({"job", "instance", "service"})
# Series that Prometheus makes itself.
OWN = {
    "up": ("gauge", frozenset()),
    "scrape_duration_seconds": ("gauge", frozenset()),
    "scrape_samples_scraped": ("gauge", frozenset()),
    "scrape_samples_post_metric_relabeling": ("gauge", frozenset()),
    "scrape_series_added": ("gauge", frozenset()),
    "ALERTS": ("gauge", frozenset({"alertname", "alertstate", "severity", "slo"})),
}
FOR_COUNTERS = {"rate", "irate", "increase", "resets"}
FOR_GAUGES = {"deriv", "delta", "idelta", "predict_linear"}


class Catalog:
    """Which series there are: their type, and their labels."""

    def __init__(self, exposition_types, exposition_values, recorded):
        self.known = {name: (kind, labels | TARGET) for name, (kind, labels) in OWN.items()}
        self.values = {}
        for name, labels in exposition_values:
            for label, value in (pair.split("=", 1) for pair in split_labels(labels)):
                self.values.setdefault((name, label), set()).add(value.strip('"'))
            kind = exposition_types.get(name) or exposition_types.get(family_of(name))
            names = frozenset(pair.split("=", 1)[0] for pair in split_labels(labels))
            suffixed = name not in exposition_types
            self.known.setdefault(name, ("counter" if suffixed else kind, names | TARGET))
        for name, expression in recorded.items():
            shape = Reading(self, expression).shape
            # Recorded series have what their expression leaves; none of them is a counter.
            self.known[name] = ("gauge", frozenset(shape.labels or ()))

    def strange(self, name, label, value, pattern):
        """What is asked of a label and no series has. Every value there can be is exported from the start."""
        known = self.values.get((name, label))
        if known is None:
            return []
        parts = value.split("|") if pattern and "(" not in value else [value]
        return [
            f"no {name} has {label} {part!r}" for part in parts
            if not any(re.fullmatch(part, one) if pattern else part == one for one in known)
        ]


def family_of(name):
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def split_labels(text):
    """The `name="value"` pairs of a label set as it stands in an exposition."""
    pairs, start, quoted, escaped = [], 1, False, False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in ",}":
            if text[start:place].strip():
                pairs.append(text[start:place].strip())
            start = place + 1
    return pairs


class Shape:
    """The labels a result has (None: a number, or unknown), and those of them that can only have one value."""

    def __init__(self, labels=None, fixed=None):
        self.labels = labels
        self.fixed = fixed or {}

    def only(self, names):
        kept = None if self.labels is None else self.labels & names
        return Shape(kept, {name: value for name, value in self.fixed.items() if name in names})

    def but(self, names):
        kept = None if self.labels is None else self.labels - names
        return Shape(kept, {name: value for name, value in self.fixed.items() if name not in names})


class Reading:
    """One expression, read: the series it names, what it leaves, and what is wrong with it."""

    def __init__(self, catalog, expression):
        self.catalog = catalog
        self.names = set()
        self.faults = []
        self.shape = self.read(promql_parser.parse(expression), None)

    def read(self, node, function):
        return getattr(self, type(node).__name__)(node, function)

    def VectorSelector(self, node, function):
        name = node.name
        fixed = {}
        for matcher in node.matchers.matchers:
            if str(matcher.op) == "MatchOp.Equal":
                fixed[matcher.name] = matcher.value
        if name is None:
            return Shape()
        self.names.add(name)
        known = self.catalog.known.get(name)
        if known is None:
            self.faults.append(f"there is no series {name}")
            return Shape(None, fixed)
        kind, labels = known
        if function in FOR_COUNTERS and kind != "counter":
            self.faults.append(f"{function}() of {name}, which is a {kind}")
        if function in FOR_GAUGES and kind == "counter":
            self.faults.append(f"{function}() of {name}, which is a counter")
        for matcher in node.matchers.matchers:
            if matcher.name not in labels | TARGET:
                self.faults.append(f"{name} has no label {matcher.name}")
            self.faults += self.catalog.strange(name, matcher.name, matcher.value, "Re" in str(matcher.op))
        return Shape(frozenset(labels), fixed)

    def MatrixSelector(self, node, function):
        return self.read(node.vector_selector, function)

    def SubqueryExpr(self, node, function):
        return self.read(node.expr, function)

    def ParenExpr(self, node, function):
        return self.read(node.expr, function)

    def UnaryExpr(self, node, function):
        return self.read(node.expr, function)

    def NumberLiteral(self, node, function):
        return Shape()

    def StringLiteral(self, node, function):
        return Shape()

    def Call(self, node, function):
        name = node.func.name
        shapes = [self.read(argument, name) for argument in node.args]
        if name in ("time", "vector", "scalar"):
            return Shape(frozenset() if name == "vector" else None)
        if name == "absent":
            return Shape(frozenset(shapes[0].fixed), shapes[0].fixed)
        given = next((shape for shape in shapes if shape.labels is not None), Shape())
        if name == "histogram_quantile":
            if given.labels is not None and "le" not in given.labels:
                self.faults.append("a quantile of buckets without their le")
            return given.but({"le"})
        return given

    def AggregateExpr(self, node, function):
        inner = self.read(node.expr, None)
        if node.modifier is None:
            return inner if str(node.op) in ("topk", "bottomk") else Shape(frozenset())
        names = frozenset(node.modifier.labels)
        if str(node.modifier.type).endswith("By"):
            missing = names - inner.labels if inner.labels is not None else frozenset()
            if missing:
                self.faults.append(f"{node.op} by a label that is not there: {', '.join(sorted(missing))}")
            return inner.only(names)
        return inner.but(names)

    def BinaryExpr(self, node, function):
        left, right = self.read(node.lhs, None), self.read(node.rhs, None)
        if left.labels is None or right.labels is None:
            return left if left.labels is not None else right
        op = str(node.op)
        if op == "or":
            both = left.labels | right.labels
            return Shape(both, {k: v for k, v in left.fixed.items() if right.fixed.get(k) == v})
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            one, other = left, right
        elif "Exclude" in str(matching.type):
            one, other = left.but(frozenset(matching.labels)), right.but(frozenset(matching.labels))
        else:
            one, other = left.only(frozenset(matching.labels)), right.only(frozenset(matching.labels))
        self.judge_join(op, one, other)
        if op in ("and", "unless"):
            return left
        if matching is None or "Exclude" in str(matching.type):
            return Shape(one.labels, one.fixed | other.fixed)
        grouped = "ManyToOne" in str(node.modifier.card)
        return left if grouped else one

    def judge_join(self, op, one, other):
        for name in set(one.fixed) & set(other.fixed):
            if one.fixed[name] != other.fixed[name]:
                self.faults.append(f"{op}: {name} is {one.fixed[name]!r} on one side and {other.fixed[name]!r} on the other")
        if one.labels != other.labels:
            apart = sorted((one.labels ^ other.labels))
            self.faults.append(f"{op}: only one side has {', '.join(apart)}")
