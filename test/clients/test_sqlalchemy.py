"""examples/sqlalchemy through SQLAlchemy's ORM: a table declared, filled, searched by the index, and reflected."""
import os
import sys

sys.path.insert(0, 'examples/sqlalchemy')
import wire

try:
    from sqlalchemy import BigInteger, Column, MetaData, Table, create_engine, text
    from sqlalchemy.orm import Session, declarative_base
    from face_embedding import FaceEmbedding
    import psycopg2  # noqa: F401: the driver
except ImportError as e:
    print(f'SQLAlchemy or psycopg2 is not installed (python3-sqlalchemy, python3-psycopg2): {e}')
    sys.exit(77)

DIMS = 512
TAG = 7
Base = declarative_base()


class Face(Base):
    __tablename__ = 'face'
    id = Column(BigInteger, primary_key=True)
    embedding = Column(FaceEmbedding(DIMS, TAG))


def main():
    engine = create_engine('postgresql+psycopg2://', connect_args={'dbname': os.environ.get('PGDATABASE', 'postgres')})
    templates = wire.some_templates(20, DIMS)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Face(id=i, embedding=t) for i, t in enumerate(templates))
        session.add(Face(id=-1, embedding=None))
        session.commit()
        session.execute(text('CREATE INDEX ON face USING facematch (embedding)'))
        nearest = session.query(Face).order_by(Face.embedding.cosine_distance(templates[3])).limit(1).one()
        assert nearest.id == 3
        # the text has as many digits as half precision needs
        assert [wire.half(v) for v in nearest.embedding.components] == [wire.half(v) for v in templates[3]]
        assert nearest.embedding.model == TAG
        assert session.query(Face.id).filter(Face.embedding.cosine_distance(nearest.embedding) < 1e-6).all() == [(3,)]
        assert session.get(Face, -1).embedding is None
    reflected = Table('face', MetaData(), autoload_with=engine).c.embedding.type
    assert (type(reflected), reflected.dims, reflected.model) == (FaceEmbedding, DIMS, TAG), repr(reflected)


main()
