"""The environment of a version as a software bill of materials: CycloneDX 1.6, JSON. The same lock, the same bytes."""

from __future__ import annotations

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from registry.locks import Package
from registry.models import EnvironmentLock

MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"


def sbom_of(kept: EnvironmentLock) -> str:
    version = kept.version
    return bill_of_materials(
        name=version.model.name,
        version=str(version.n),
        manifest=version.manifest_digest,
        lock=kept.digest,
        at=kept.created_at,
        packages=[Package(**{**package, "sha256": tuple(package["sha256"])}) for package in kept.packages],
    )


def bill_of_materials(
    *, name: str, version: str, manifest: str, lock: str, at: datetime, packages: list[Package]
) -> str:
    """`name` and `version` are the model's, which the bill is about, `manifest` and `lock` digests; `at`: when the lock
    was kept. A package's hash is listed where the lock allows one file only."""
    about = Component(
        name=name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{name}@{version}",
        properties=[
            Property(name="crivo:manifest", value=manifest),
            Property(name="crivo:environment_lock", value=lock),
        ],
    )
    components = [_component(package) for package in packages]
    bom = Bom(
        components=components,
        serial_number=uuid5(NAMESPACE_URL, f"crivo:{manifest}:{lock}"),
        metadata=BomMetaData(timestamp=at, component=about),
    )
    bom.register_dependency(about, components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _component(package: Package) -> Component:
    url = PackageURL(type=package.ecosystem, name=package.name, version=package.version or None)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.sha256]
    properties = [
        Property(name="crivo:accepted_sha256", value=item.content) for item in hashes if len(hashes) > 1
    ]
    return Component(
        name=package.name,
        version=package.version or None,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        hashes=hashes if len(hashes) == 1 else [],
        properties=properties,
    )
