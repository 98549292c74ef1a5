"""The column type face_embedding for SQLAlchemy: declared, reflected, sent as a list of float, compared by cosine.

    class Face(Base):
        embedding = Column(FaceEmbedding(512, 1))

    session.query(Face).order_by(Face.embedding.cosine_distance(probe)).limit(1)

A template comes back as Template: its components, and the tag of its model (0: none).
"""
import collections
import functools
import re

from sqlalchemy import Float
from sqlalchemy.dialects.postgresql.base import PGDialect, ischema_names
from sqlalchemy.types import UserDefinedType

Template = collections.namedtuple('Template', 'components model')


class FaceEmbedding(UserDefinedType):
    cache_ok = True

    def __init__(self, dims=None, model=None):
        # reflection passes what stands between the parentheses, as text
        self.dims = int(dims) if dims is not None else None
        self.model = int(model) if model is not None else None

    def get_col_spec(self, **kw):
        given = [str(n) for n in (self.dims, self.model) if n is not None]
        return 'face_embedding' + (f"({', '.join(given)})" if given else '')

    def bind_processor(self, dialect):
        def process(value):
            if value is None or isinstance(value, str):
                return value
            components, model = value if isinstance(value, Template) else (value, 0)
            return (f'{model}:' if model else '') + '[' + ','.join(repr(float(v)) for v in components) + ']'
        return process

    def result_processor(self, dialect, coltype):
        def process(value):
            if value is None:
                return None
            model, _, components = value.rpartition(':')
            return Template([float(v) for v in components.strip('[]').split(',')], int(model or 0))
        return process

    class comparator_factory(UserDefinedType.Comparator):
        def cosine_distance(self, other):
            return self.op('<=>', return_type=Float)(other)

        def euclidean_distance(self, other):
            return self.op('<->', return_type=Float)(other)


ischema_names['face_embedding'] = FaceEmbedding


def _with_two_numbers(original):
    """SQLAlchemy 1.4 reads the parentheses of every type that it does not know as one number."""
    @functools.wraps(original)
    def get_column_info(self, name, format_type, *args, **kw):
        given = re.fullmatch(r'face_embedding\((\d+)(?:,(\d+))?\)', format_type or '')
        info = original(self, name, re.sub(r'(face_embedding)\([\d,]+\)', r'\1', format_type or '') or format_type, *args, **kw)
        if given:
            info['type'] = FaceEmbedding(*given.groups())
        return info
    return get_column_info


if hasattr(PGDialect, '_get_column_info'):      # gone in 2.0, which passes on both numbers
    PGDialect._get_column_info = _with_two_numbers(PGDialect._get_column_info)
